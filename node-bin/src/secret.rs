//! The cluster's secret as a file: 32 random bytes in hexadecimal, readable by its owner alone.

use crate::hex;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use tertulia_protocol::wire::handshake::Secret;

/// Reads the secret, or says how to make one.
pub fn read(path: &Path) -> Result<Secret, String> {
    let text = fs::read_to_string(path).map_err(|error| {
        format!(
            "cannot read the cluster's secret from {}: {error}; make one with `openssl rand -hex 32 > {0}` and give the same file to every node",
            path.display()
        )
    })?;
    let bad = || format!("{} holds no secret: it must be at least 32 hexadecimal digits, the same on every node", path.display());
    let bytes = hex::decode(text.trim()).ok_or_else(bad)?;
    Secret::new(&bytes).ok_or_else(bad)
}

/// Reads the secret of a cluster that runs, or says which one is meant.
pub fn of_running(path: &Path) -> Result<Secret, String> {
    if let Err(error) = fs::File::open(path) {
        return Err(format!(
            "cannot read the cluster's secret from {}: {error}; name the file that its nodes were started with: --secret-file FILE (a demo's is DIR/secret, DIR being its --data)",
            path.display()
        ));
    }
    read(path)
}

/// Makes a secret unless there is one. The file appears whole or not at all.
pub fn create(path: &Path) -> Result<(), String> {
    if path.exists() {
        return read(path).map(drop);
    }
    let fail = |error| format!("cannot write the cluster's secret to {}: {error}", path.display());
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(fail)?;
    let text = hex::encode(&rand::random::<[u8; 32]>());
    writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(fail)?;
    fs::rename(&beside, path).map_err(fail)
}

/// Writes a text that its owner alone can read, in place of what was there.
pub fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    writeln!(file, "{text}")?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_made_once_and_is_its_owners() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        create(&path).unwrap();
        let first = fs::read_to_string(&path).unwrap();
        assert_eq!(first.trim().len(), 64);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), first);
        assert!(read(&path).is_ok());
    }

    #[test]
    fn a_missing_or_broken_secret_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        assert!(read(&path).unwrap_err().contains("openssl rand -hex 32"));
        let running = of_running(&path).unwrap_err();
        assert!(running.contains("--secret-file") && !running.contains("openssl"), "{running}");
        fs::write(&path, "too short").unwrap();
        assert!(read(&path).unwrap_err().contains("holds no secret"));
        fs::write(&path, "abcd").unwrap();
        assert!(read(&path).unwrap_err().contains("holds no secret"));
    }
}
