//! The long run's model server that is not ours: llama.cpp's, on a tiny model of random weights.

use super::clients::venv;
use crate::workspace::{Outcome, program, root, succeed, target};

/// Installs it (it compiles for some minutes) and writes the model.
pub(super) fn install() -> Outcome<()> {
    let folder = target().join("e2e/llama");
    venv(&folder, &root().join("tests/e2e/python/llama.txt"))?;
    let model = folder.join("tiny.gguf");
    if model.exists() {
        return Ok(());
    }
    succeed(program(folder.join("bin/python")).arg("tests/e2e/python/tiny_model.py").arg(&model))
}
