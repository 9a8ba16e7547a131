//! The README's first ledger, line by line, as a new user would type it.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_tests::{belfry, root};
use std::fs;
use std::process::Command;

#[test]
fn the_commands_of_the_readme_work_as_they_stand() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let block = readme
        .split("## A first ledger")
        .nth(1)
        .and_then(|rest| rest.split("```").nth(1))
        .unwrap();
    // `run` serves until it is stopped: other tests do that.
    let lines: Vec<&str> = block
        .lines()
        .filter(|line| line.starts_with("belfry ") && !line.starts_with("belfry run"))
        .collect();
    assert!(lines.len() >= 6, "{block}");
    let home = tempfile::tempdir().unwrap();
    fs::write(
        home.path().join("secret.txt"),
        "a passphrase of some length\n",
    )
    .unwrap();
    fs::create_dir(home.path().join("some-directory")).unwrap();
    for number in 0..8 {
        fs::write(
            home.path().join(format!("some-directory/{number}.txt")),
            number.to_string(),
        )
        .unwrap();
    }
    fs::write(home.path().join("events.ndjson"), belfry_tests::lines(3)).unwrap();
    let output = Command::new("bash")
        .args(["-euc", &lines.join("\n")])
        .current_dir(home.path())
        .env(
            "PATH",
            format!(
                "{}:{}",
                belfry().parent().unwrap().display(),
                std::env::var("PATH").unwrap()
            ),
        )
        .env("BELFRY_DATA_DIR", home.path().join("data"))
        .env("BELFRY_PASSPHRASE_FILE", "secret.txt")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.contains("verified: entry 7 of acme.example/line-4"),
        "{text}"
    );
}
