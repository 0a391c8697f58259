//! The path of this program, from which its successor is started.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The path by which this process was started, absolute, with its symbolic links as they are: a release is
/// changed by pointing `current` somewhere else, and the program that is then at `current/loopgate` is to be
/// started. If that is not the program that runs, for example because the caller put something else into `argv[0]`,
/// the path of the running file.
///
/// Call it at the start, before the working directory or the file can have changed.
///
/// # Errors
/// If the system does not know which file runs, or the working directory.
pub(super) fn program_path() -> io::Result<PathBuf> {
    let name = env::args_os().next().unwrap_or_default();
    let search = env::var_os("PATH").unwrap_or_default();
    let runs = env::current_exe()?;
    let found = find(&name, &working_directory()?, &search);
    Ok(found.filter(|path| is_same(path, &runs)).unwrap_or(runs))
}

/// Whether two paths lead to the same file.
fn is_same(a: &Path, b: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    matches!((id(a), id(b)), (Ok(a), Ok(b)) if a == b)
}

/// The working directory as the shell names it, which keeps symbolic links (`pwd -L`).
fn working_directory() -> io::Result<PathBuf> {
    let real = env::current_dir()?;
    let same = |named: &PathBuf| named.is_absolute() && is_same(named, &real);
    let named = env::var_os("PWD").map(PathBuf::from);
    Ok(named.filter(same).unwrap_or(real))
}

/// The program that a shell in `directory` would run for `name`: a path, or a name to be looked up in `search`.
fn find(name: &OsStr, directory: &Path, search: &OsStr) -> Option<PathBuf> {
    if name.is_empty() {
        return None;
    }
    if name.as_bytes().contains(&b'/') {
        let path = directory.join(name);
        return is_program(&path).then_some(path);
    }
    env::split_paths(search)
        .map(|place| directory.join(place).join(name))
        .find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_path_is_the_one_that_was_typed_with_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for release in ["v1", "v2"] {
            fs::create_dir(at(release)).unwrap();
            let program = at(release).join("loopgate");
            fs::write(&program, "").unwrap();
            fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(at("no-program"), "").unwrap();
        symlink("v1", at("current")).unwrap();
        let search = env::join_paths([at("nowhere"), at("current"), at("v1")]).unwrap();
        let current = at("current").join("loopgate");
        for (name, directory, found) in [
            ("current/loopgate", at(""), Some(current.clone())),
            ("./current/loopgate", at(""), Some(at("./current/loopgate"))),
            ("./loopgate", at("current"), Some(at("current/./loopgate"))),
            (current.to_str().unwrap(), at("v2"), Some(current.clone())),
            ("loopgate", at("v2"), Some(current.clone())),
            ("gone/loopgate", at(""), None),
            ("./no-program", at(""), None),
            ("-loopgate", at(""), None),
            ("", at(""), None),
        ] {
            assert_eq!(find(name.as_ref(), &directory, &search), found, "{name:?}");
        }
    }
}
