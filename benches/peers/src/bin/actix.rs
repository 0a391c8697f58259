//! actix-web 4 with one worker.
//!
//! Built without its default features, so without compression, cookies, HTTP/2 and macros. No
//! `Logger`. `KeepAlive::Os` and no request timeout, as in its TechEmpower entry: no request arms a
//! timer. mimalloc instead of that entry's snmalloc. Accepting has a thread of its own in actix,
//! for any number of workers; the bench pins both to one core.

use std::io;
use std::time::Duration;

use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::http::{KeepAlive, StatusCode};
use actix_web::rt::System;
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpResponse, HttpServer};
use loopgate_peers::HEALTHZ;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> io::Result<()> {
    let listener = loopgate_peers::listen()?;
    let address = listener.local_addr()?;
    System::new().block_on(async {
        let server = HttpServer::new(|| App::new().service(web::resource("/healthz").get(healthz)))
            .workers(1)
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(Duration::ZERO)
            .listen(listener)?
            .run();
        loopgate_peers::announce(address)?;
        server.await
    })
}

async fn healthz() -> HttpResponse<Bytes> {
    let body = Bytes::from_static(HEALTHZ.as_bytes());
    let mut response = HttpResponse::with_body(StatusCode::OK, body);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
