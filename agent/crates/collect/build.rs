//! Finds the collectors: every file of `src/collectors` is one, and whoever adds a file has nothing else to edit.
//!
//! In: the folder's names. Out: `collectors.rs` in the build's folder, with a module for each and the list `ALL`, by name.

use std::env;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("src/collectors");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, std::io::Error>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    let (mut modules, mut list) = (String::new(), String::new());
    for path in &files {
        let name =
            path.file_stem().and_then(|stem| stem.to_str()).ok_or("a name that is no text")?;
        writeln!(modules, "#[path = {path:?}]\nmod {name};")?;
        writeln!(list, "    &{name}::COLLECTOR,")?;
    }
    let text = format!("{modules}\npub(crate) static ALL: &[&Collector] = &[\n{list}];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("collectors.rs"), text)?;
    Ok(())
}
