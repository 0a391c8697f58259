//! The one rule for the server's files: only its own user may use what it writes.
//!
//! | | store, `-wal`, `-shm` | lock | key | recording | log |
//! |---|---|---|---|---|---|
//! | made with mode 0600, under any umask | yes | yes | yes | yes | yes |
//! | refused when group or others may | read or write it | read or write it | read or write it | (always new) | write it |
//! | a symbolic link is | resolved, once | refused | checked where it leads | refused | refused |
//!
//! The log has no secrets, and often a group has to read it, so that is its owner's choice. A lock has no secrets
//! either, but a user who can open it can hold it. An operator may keep a store or a key behind a symbolic link. A
//! file that is written without checking what was there (lock, log, recording) never follows a link, since another
//! user of the directory could have put it there.
//!
//! The permissions of the directory are not checked: its owner can replace any file in it.

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

/// Checks that only the owner may use the file at `path`.
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

/// Whether users other than its owner and its group have any right to the file at `path`.
#[must_use]
pub fn is_for_all(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|found| found.permissions().mode() & 0o007 != 0)
}

/// Options for opening or making a file, never through a symbolic link. The caller adds whether it reads, writes,
/// appends or creates.
#[must_use]
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .mode(MODE)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// Opens a log to append to, and creates it if it is missing.
///
/// The mode is checked only for a regular file, not for a pipe or a terminal. Below `/dev` links are followed:
/// `/dev/stderr` is one.
///
/// # Errors
/// The system's error; or the file is a symbolic link, or users other than its owner may write it.
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

/// Whether `path` itself is a symbolic link. Systems differ in the error of opening one without following it.
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
