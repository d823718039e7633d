//! Prints the OpenAPI document; `cargo xtask openapi` writes it to `docs/openapi.json`.

fn main() {
    print!("{}", claviger_control::openapi_document());
}
