//! `--jq EXPRESSION`: what a program would read, as an expression of jq makes it. Texts are printed bare, all else as JSON.
//! Which members there are is the API's business; the filter sees nothing but the value.

use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
use jaq_json::{Val, read};
use serde_json::Value;

/// Whether the expression can be used at all.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(code: &str) -> Result<(), String> {
    lines(code, None).map(drop)
}

/// What it makes of the value, a line each.
///
/// # Errors
/// What is wrong with it, or with this value for it.
pub(super) fn apply(code: &str, value: &Value) -> Result<Vec<String>, String> {
    lines(code, Some(value))
}

fn lines(code: &str, value: Option<&Value>) -> Result<Vec<String>, String> {
    let wrong = || format!("`{code}` is no expression of jq, or uses what it does not have");
    let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let functions = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let arena = Arena::default();
    let modules = Loader::new(definitions).load(&arena, File { code, path: () }).map_err(|_| wrong())?;
    let filter = Compiler::default().with_funs(functions).compile(modules).map_err(|_| wrong())?;
    let Some(value) = value else { return Ok(Vec::new()) };
    let input = read::parse_single(value.to_string().as_bytes()).map_err(|error| error.to_string())?;
    let context = Ctx::<data::JustLut<Val>>::new(&filter.lut, Vars::new([]));
    let made = filter.id.run((context, input)).map(unwrap_valr);
    made.map(|one| one.map(|one| bare(one.to_string())).map_err(|error| error.to_string())).collect()
}

/// A JSON text without its quotes, anything else as it is.
fn bare(json: String) -> String {
    serde_json::from_str::<String>(&json).unwrap_or(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_expression_makes_lines_of_a_value() {
        let rows =
            json!([{ "id": "a", "name": "é \"x\"\n", "n": 12_345_678_901_i64 }, { "id": "b", "name": "y", "n": 2 }]);
        let run = |code: &str| apply(code, &rows);
        assert_eq!(run(".[].id"), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(run(".[0].name"), Ok(vec!["é \"x\"\n".to_owned()]));
        assert_eq!(run("map(select(.n > 2)) | length"), Ok(vec!["1".to_owned()]));
        assert_eq!(run(".[0] | {n}"), Ok(vec!["{\"n\":12345678901}".to_owned()]));
        assert!(run(".[0].id.x").is_err(), "a text has no members");
        for wrong in [".[", "nothing_of_the_kind", "| |"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
        assert_eq!(check("keys | sort"), Ok(()));
    }
}
