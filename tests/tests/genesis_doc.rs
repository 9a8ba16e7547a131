//! The founding in docs/genesis.md, line by line: every command runs, and says what the page says.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::{belfry, free_port, root};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(120);
const MARK: &str = "=== the command ended";

/// A command and what it is to print, by lines: `...` stands for any lines, `[..]` for any text in one.
struct Step {
    command: String,
    expected: Vec<String>,
}

/// The steps of a page's `console` blocks.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match (inside, line) {
            (false, "```console") => inside = true,
            (true, "```") => inside = false,
            (true, line) => match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push(Step {
                    command: command.to_owned(),
                    expected: Vec::new(),
                }),
                (None, Some(step)) => step.expected.push(line.to_owned()),
                (None, None) => panic!("output without a command: {line}"),
            },
            (false, _) => {}
        }
    }
    steps
}

/// Whether a line is as expected.
fn fits(expected: &str, line: &str) -> bool {
    let mut parts = expected.split("[..]");
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Whether the output is as expected.
fn agrees(expected: &[String], output: &[String]) -> bool {
    match (expected.split_first(), output.split_first()) {
        (None, None) => true,
        (Some((dots, rest)), _) if dots == "..." => {
            agrees(rest, output) || (!output.is_empty() && agrees(expected, &output[1..]))
        }
        (Some((wanted, rest)), Some((line, others))) => fits(wanted, line) && agrees(rest, others),
        _ => false,
    }
}

/// A shell in a directory of its own; its children end with it.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: Receiver<String>,
}

impl Shell {
    fn start(home: &std::path::Path) -> Self {
        let bin = belfry().parent().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.arg("--norc").current_dir(home).env("PATH", path);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BELFRY_")) {
            command.env_remove(name);
        }
        // A group of its own, so that what it started ends with it, whatever happens.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (send, output) = sync_channel(1_024);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            input,
            output,
        }
    }

    fn run(&mut self, command: &str) -> Vec<String> {
        writeln!(
            self.input,
            "{{ {command}\n}} 2>&1 < /dev/null\necho '{MARK}'"
        )
        .unwrap();
        let mut lines = Vec::new();
        loop {
            let line = self.output.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("{command} does not end: {lines:#?}"));
            if line == MARK {
                return lines;
            }
            lines.push(line);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

#[test]
fn the_page_about_founding_says_what_happens() {
    let mut page = std::fs::read_to_string(root().join("docs/genesis.md")).unwrap();
    for port in 9471..=9474 {
        page = page.replace(&format!(":{port}"), &format!(":{}", free_port()));
    }
    let home = tempfile::tempdir().unwrap();
    let mut shell = Shell::start(home.path());
    let steps = steps(&page);
    assert!(steps.len() > 30, "the page has lost its commands");
    for Step { command, expected } in steps {
        let output = shell.run(&command);
        assert!(
            agrees(&expected, &output),
            "$ {command}\nexpected:\n{}\nprinted:\n{}",
            expected.join("\n"),
            output.join("\n")
        );
    }
}

#[test]
fn a_wrong_output_is_noticed() {
    let text = |lines: &[&str]| {
        lines
            .iter()
            .map(|line| (*line).to_owned())
            .collect::<Vec<_>>()
    };
    assert!(agrees(&text(&["...", "b [..]!"]), &text(&["a", "b c!"])));
    assert!(!agrees(&text(&["a"]), &text(&["a", "b"])));
    assert!(!agrees(&text(&["a", "b"]), &text(&["a"])));
    assert!(!agrees(&text(&["a[..]c"]), &text(&["ab"])));
    assert!(agrees(&text(&["..."]), &[]));
}
