//! The pages, as people see them: in a real browser, which is Chromium without a window.
//!
//! Where no Chromium is found, each test says that it is skipped; `LOOPGATE_TEST_REQUIRE_TOOLS=1` makes it a failure.
//! `LOOPGATE_TEST_SCREENSHOTS=docs/pictures` keeps pictures of the pages there.

#[expect(dead_code, unused_imports, reason = "the other tests need more of it")]
#[path = "../behaviour/harness/mod.rs"]
mod harness;
mod home;
#[expect(dead_code, reason = "the other tests need more of it")]
#[path = "../behaviour/listeners.rs"]
mod listeners;
mod live;
mod page;
