//! Where the cgroup2 file system is mounted, for who does not say which cgroup is meant.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use super::error::LoadError;

/// The root of the hierarchy: the usual place if it is there, else where it is mounted first.
/// Beside version 1 that is mostly `/sys/fs/cgroup/unified`.
pub(super) fn root() -> Result<PathBuf, LoadError> {
    let mounts = fs::read(MOUNTS).map_err(|source| LoadError::Mounts { source })?;
    choose(&mounts).ok_or_else(|| LoadError::Cgroup {
        path: USUAL.into(),
        source: io::Error::other(format!("no cgroup2 file system is mounted ({MOUNTS})")),
    })
}

/// A mount that shows the whole hierarchy comes before one that shows a part, as containers have.
fn choose(mounts: &[u8]) -> Option<PathBuf> {
    let mounts: Vec<(bool, PathBuf)> = mounts.split(|it| *it == b'\n').filter_map(parse).collect();
    let usual = mounts.iter().find(|(_, path)| path == Path::new(USUAL));
    let whole = || mounts.iter().find(|(whole, _)| *whole);
    usual.or_else(whole).or_else(|| mounts.first()).map(|(_, path)| path.clone())
}

/// Of a line of `proc_pid_mountinfo(5)` that is of cgroup2: whether it shows the whole hierarchy,
/// and where.
fn parse(line: &[u8]) -> Option<(bool, PathBuf)> {
    let mut fields = line.split(|it| *it == b' ');
    let (root, path) = (fields.nth(3)?, fields.next()?);
    // Optional fields end in a hyphen; the type of the file system is next.
    fields.find(|field| *field == b"-")?;
    (fields.next()? == b"cgroup2").then(|| (root == b"/", unescaped(path)))
}

/// White space and backslashes are written as three octal digits.
fn unescaped(mut text: &[u8]) -> PathBuf {
    let mut bytes = Vec::new();
    while let [first, rest @ ..] = text {
        match rest {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] if *first == b'\\' => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                text = rest;
            }
            rest => {
                bytes.push(*first);
                text = rest;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

const MOUNTS: &str = "/proc/self/mountinfo";
const USUAL: &str = "/sys/fs/cgroup";

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
        33 24 0:28 / /sys/fs/cgroup/cpu rw,nosuid shared:9 - cgroup cgroup rw,cpu\n\
        34 24 0:29 / /sys/fs/cgroup/systemd rw shared:10 - cgroup cgroup rw,name=cgroup2\n";

    #[test]
    fn the_hierarchy_is_found_where_it_is_mounted() {
        let unified = "29 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        let hybrid = "32 24 0:27 / /sys/fs/cgroup/unified rw shared:8 - cgroup2 cgroup2 rw\n";
        let part = "40 24 0:27 /docker/1 /part rw master:1 shared:2 - cgroup2 none rw\n";
        let spaces = "41 24 0:27 / /a\\040b\\134c rw - cgroup2 cgroup2 rw\n";
        let tmpfs = "28 24 0:25 / /sys/fs/cgroup ro shared:3 - tmpfs tmpfs ro\n";
        for (mounts, expected) in [
            (unified.to_owned(), Some("/sys/fs/cgroup")),
            (format!("{tmpfs}{V1}{hybrid}"), Some("/sys/fs/cgroup/unified")),
            // Whatever comes first, and without the optional fields.
            (format!("{spaces}{hybrid}{unified}"), Some("/sys/fs/cgroup")),
            (format!("{spaces}{hybrid}"), Some("/a b\\c")),
            (format!("{part}{hybrid}"), Some("/sys/fs/cgroup/unified")),
            (part.to_owned(), Some("/part")),
            (format!("{tmpfs}{V1}"), None),
            ("cgroup2\n- cgroup2\n".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(choose(mounts.as_bytes()).as_deref(), expected.map(Path::new), "{mounts}");
        }
    }
}
