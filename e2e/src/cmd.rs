//! Running other programs: what they print comes back, and a failure says what was run and why it
//! failed.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

/// How much of a failed command's output an error quotes, in bytes.
const QUOTED: usize = 4000;

/// Runs to the end; standard output on success, else an error that quotes standard error.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    with_input(command, b"")
}

/// Like [`run`], with something on standard input.
pub(crate) fn with_input(command: &mut Command, input: &[u8]) -> Result<String> {
    let shown = show(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{shown}: cannot be started"))?;
    let pipe = child.stdin.take();
    let output = thread::scope(|scope| {
        if let Some(mut pipe) = pipe {
            // A program that does not read its input closes the pipe: not an error of ours.
            scope.spawn(move || drop(pipe.write_all(input)));
        }
        child.wait_with_output()
    })?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("{shown}: {}\n{}{}", output.status, tail(&error), tail(&out));
    }
    Ok(out)
}

/// Whether the command can be run and ends with success; its output is thrown away.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The program's absolute path when the search path (or a place for administrators' tools) has it.
pub(crate) fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(Into::into))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// The command line as one would type it, cut to a readable length.
pub(crate) fn show(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    if line.len() > 400 {
        let cut = (0..=400).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        line.truncate(cut);
        line.push_str(" ...");
    }
    line
}

/// The end of a text, at most [`QUOTED`] bytes of it.
pub(crate) fn tail(text: &str) -> &str {
    let from = text.len().saturating_sub(QUOTED);
    let from = (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[from..]
}
