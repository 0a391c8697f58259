//! The one rule for the server's files: what it writes is for its own user.
//!
//! | | store, `-wal`, `-shm` | lock | key | recording | log |
//! |---|---|---|---|---|---|
//! | made with mode 0600, under any umask | yes | yes | yes | yes | yes |
//! | refused when group or others may | read or write it | read or write it | read or write it | (always new) | write it |
//! | a symbolic link is | resolved, once | refused | checked where it leads | refused | refused |
//!
//! The log has no secrets, and reading it is often the right of a group, so that is its owner's choice. A lock
//! has none either, but a user who can open it can hold it. The operator may well keep a store or a key behind a
//! link of their own; what is written without a look at what was there (lock, log, recording) never follows
//! one, since another user of the directory could have put it there.
//!
//! What protects the directory is not looked at: its owner can replace any file in it.

pub(crate) mod durable;
pub(crate) mod lock;

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Permission bits of files that the server makes.
pub const MODE: u32 = 0o600;

const OTHERS_READ_OR_WRITE: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o022;

/// A file that other users can read or write.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
#[error("{path} can be used by others (mode {mode:03o}); run: chmod 600 {path}")]
pub struct Exposed {
    /// The file.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
}

/// Whether the file at `path` is for its owner alone.
///
/// # Errors
/// [`Exposed`] when its group or others have any right to it.
pub fn check(path: &Path, metadata: &Metadata) -> Result<(), Exposed> {
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OTHERS_READ_OR_WRITE == 0 {
        return Ok(());
    }
    let path = path.to_owned();
    Err(Exposed { path, mode })
}

/// Whether users have any right to the file at `path` who are neither its owner nor in its group.
#[must_use]
pub fn is_for_all(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|found| found.permissions().mode() & 0o007 != 0)
}

/// How a file is opened that is made if it is missing: never through a symbolic link. The caller says whether it
/// reads, writes, appends or creates.
#[must_use]
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .mode(MODE)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// Opens a log to append to, and makes it if it is missing.
///
/// The mode of what is no regular file, as a pipe or a terminal, is not looked at. Below `/dev` links are followed:
/// `/dev/stderr` is one.
///
/// # Errors
/// What the system says; that it is a symbolic link; that others than its owner may write it.
pub fn append(path: &Path) -> io::Result<File> {
    if path.starts_with("/dev") {
        return OpenOptions::new().append(true).open(path);
    }
    let file = options()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| if is_link(path) { link_refused() } else { error })?;
    let metadata = file.metadata()?;
    let mode = metadata.permissions().mode() & 0o777;
    if metadata.is_file() && mode & OTHERS_WRITE != 0 {
        let path = path.display();
        return Err(io::Error::other(format!(
            "others may write to it (mode {mode:03o}); run: chmod go-w {path}"
        )));
    }
    Ok(file)
}

/// Whether `path` itself is a symbolic link. Systems disagree on what opening one without following it says.
#[must_use]
pub fn is_link(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|found| found.is_symlink())
}

fn link_refused() -> io::Error {
    io::Error::other(
        "it is a symbolic link, which another user may have put there; name the file itself",
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_log_is_refused_where_others_may_write_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        append(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        for (mode, fine) in [
            (0o600, true),
            (0o640, true),
            (0o644, true),
            (0o660, false),
            (0o602, false),
            (0o666, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(append(&path).is_ok(), fine, "{mode:o}");
        }
    }

    #[test]
    fn a_log_does_not_follow_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("log"), folder.path().join("target"));
        symlink(&target, &path).unwrap();
        assert!(
            append(&path)
                .unwrap_err()
                .to_string()
                .contains("symbolic link")
        );
        assert!(!target.exists(), "nothing was made where it leads");
        fs::write(&target, "before").unwrap();
        assert!(append(&path).is_err());
        assert_eq!(fs::read_to_string(&target).unwrap(), "before");
        append(Path::new("/dev/null")).unwrap();
    }

    #[test]
    fn what_others_may_use_is_named_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let exposed = check(&path, &fs::metadata(&path).unwrap()).unwrap_err();
            assert_eq!(exposed.mode, mode);
            assert!(exposed.to_string().contains("chmod 600 "), "{exposed}");
        }
        for mode in [0o600, 0o400, 0o700] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(check(&path, &fs::metadata(&path).unwrap()), Ok(()));
        }
    }
}
