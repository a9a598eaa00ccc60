//! Reads the files of a directory.

use std::{fs, io, path::Path};

use super::Contents;

/// Whether a directory can be a source at all.
pub fn check(directory: &Path) -> io::Result<()> {
    names(directory).map(drop)
}

/// The names of the files that count, sorted: `*.yaml`, `*.yml` and `*.json`, but for names that
/// begin with a dot. Links are followed, as volumes of Kubernetes ask (`..data`).
pub fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !counts(&name) {
            continue;
        }
        match fs::metadata(entry.path()) {
            Ok(metadata) if !metadata.is_file() => {}
            // A link that leads nowhere is for its reader to report.
            _ => names.push(name),
        }
    }
    names.sort();
    Ok(names)
}

/// Reads all files that count.
///
/// # Errors
/// The directory itself cannot be read; a file that cannot be is in the contents.
pub(super) fn scan(directory: &Path) -> io::Result<Contents> {
    let mut contents = Contents::new();
    for name in names(directory)? {
        let path = directory.join(&name);
        match fs::read_to_string(&path) {
            Ok(text) => drop(contents.insert(name, Ok(text))),
            // Removed since the directory was read.
            Err(_) if fs::symlink_metadata(&path).is_err() => {}
            Err(error) => {
                contents.insert(name, Err(format!("the file cannot be read: {error}")));
            }
        }
    }
    Ok(contents)
}

fn counts(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|it| it.to_str());
    !name.starts_with('.') && matches!(extension, Some("yaml" | "yml" | "json"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_count_by_their_names_and_links_are_followed() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["b.yml", "a.yaml", "c.json", "notes.txt", ".a.yaml.swp", ".x.yaml", "yaml"] {
            fs::write(at(name), name).unwrap();
        }
        fs::create_dir(at("d.yaml")).unwrap();
        fs::create_dir(at("..v1")).unwrap();
        fs::write(at("..v1/mounted.yaml"), "mounted").unwrap();
        symlink("..v1", at("..data")).unwrap();
        symlink("..data/mounted.yaml", at("mounted.yaml")).unwrap();
        symlink("/nowhere", at("broken.yaml")).unwrap();
        fs::write(at("latin.yaml"), [0xe9]).unwrap();

        let contents = scan(directory.path()).unwrap();
        let names: Vec<&str> = contents.keys().map(String::as_str).collect();
        let expected = ["a.yaml", "b.yml", "broken.yaml", "c.json", "latin.yaml", "mounted.yaml"];
        assert_eq!(names, expected);
        assert_eq!(contents["mounted.yaml"], Ok("mounted".to_owned()));
        for broken in ["broken.yaml", "latin.yaml"] {
            let reason = contents[broken].as_ref().unwrap_err();
            assert!(reason.contains("cannot be read"), "{broken}: {reason}");
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        assert!(check(Path::new("/nonexistent")).is_err());
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(check(file.path()).is_err());
    }
}
