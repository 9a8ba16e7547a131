//! Plays a plan (`.json`) or a scenario (`.toml`) of the simulator with whole nodes, and prints what came of it as JSON.
//!
//! Exit code 0: all was well in the end. 1: it was not. 2: it could not be played.

use anyhow::Context;
use belfry_libp2p_det::play::{Played, play};
use belfry_libp2p_det::wire::Weather;
use belfry_sim::plan::Plan;
use belfry_sim::scenario;
use std::process::ExitCode;

const USAGE: &str = "usage: belfry-libp2p-det FILE
  FILE: a plan of belfry-sim (.json), or a scenario (.toml)
  e.g.  belfry-libp2p-det sim/scenarios/cable-cut.toml";

fn main() -> ExitCode {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let [file] = &files[..] else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if file.starts_with('-') {
        eprintln!("{USAGE}");
        return ExitCode::from(if file == "--help" { 0 } else { 2 });
    }
    match played(file) {
        Ok(played) if played.converged_us.is_some() => ExitCode::SUCCESS,
        Ok(played) => {
            let missing = played.missing.unwrap_or_default();
            eprintln!("FAIL {missing}\n     replay: belfry-libp2p-det {file}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn played(file: &str) -> anyhow::Result<Played> {
    let text = std::fs::read_to_string(file).with_context(|| file.to_owned())?;
    let plan = if file.ends_with(".toml") {
        scenario::parse(&text)?
    } else {
        Plan::parse(&text)?
    };
    let played = play(&plan, Weather::default())?;
    println!("{}", serde_json::to_string_pretty(&played)?);
    Ok(played)
}
