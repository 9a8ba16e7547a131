//! The binary `belfry`.

fn main() {
    std::process::exit(belfry_node::cli::main());
}
