//! The binary `steadfast`.

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    broker::process::disable_huge_pages();
    broker::command_line::run()
}
