//! The long run's model server that is not ours: llama.cpp's, on tiny models of random weights.

use super::clients::venv;
use crate::workspace::{Outcome, program, root, succeed, target};

/// Installs it (it compiles for some minutes) and writes the models.
pub(super) fn install() -> Outcome<()> {
    let folder = target().join("e2e/llama");
    venv(&folder, &root().join("tests/e2e/python/llama.txt"))?;
    for (file, kind) in [("tiny.gguf", None), ("tiny-vectors.gguf", Some("pooled"))] {
        let model = folder.join(file);
        if !model.exists() {
            let mut write = program(folder.join("bin/python"));
            succeed(write.arg("tests/e2e/python/tiny_model.py").arg(&model).args(kind))?;
        }
    }
    Ok(())
}
