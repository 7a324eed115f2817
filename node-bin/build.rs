//! Lists the files of `web/` for the binary: a table of each one's path and bytes, which `src/http/page.rs` includes. New files need no line anywhere.
//!
//! Only optimised builds carry the files. Others read them from the disk while they run, so that a page can be changed without building anything; for them the table is empty,
//! and a changed page builds nothing anew.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let web = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("web");
    let mut files = Vec::new();
    if env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rerun-if-changed={}", web.display());
        list(&web, "", &mut files)?;
        files.sort();
    }
    let mut table = String::from("&[\n");
    for (path, file) in &files {
        table.push_str(&format!("    ({path:?}, include_bytes!({:?})),\n", file.display().to_string()));
    }
    table.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("web.rs"), table)
}

fn list(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name =
            entry.file_name().into_string().map_err(|name| io::Error::other(format!("{name:?} is no name for a page's file")))?;
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{path}/"), files)?;
        } else if !name.starts_with('.') {
            files.push((path, entry.path()));
        }
    }
    Ok(())
}
