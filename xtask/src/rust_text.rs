//! Rust source as three texts: the code alone, the string literals alone, and where functions begin and end.
//!
//! A lexer, not a parser: it knows comments (nested), strings (plain, raw, byte), character literals and lifetimes.
//! That is enough to look for a word in code without finding it in a comment, and to count a function's lines.

/// A source file taken apart. `code` and `literals` have the same length and lines as the file; what belongs to the
/// other is blanked, comments in both.
pub(crate) struct RustText {
    /// Everything outside comments and literals.
    pub(crate) code: String,
    /// The contents of string literals.
    pub(crate) literals: String,
}

/// One function with its extent in lines, from the line of `fn` to that of the closing brace.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) first_line: usize,
    pub(crate) lines: usize,
}

#[derive(Clone, Copy)]
enum Part {
    Code,
    Literal,
    Comment,
}

impl RustText {
    pub(crate) fn read(source: &str) -> Self {
        let characters: Vec<char> = source.chars().collect();
        let mut text = Self { code: String::new(), literals: String::new() };
        let mut at = 0;
        while at < characters.len() {
            let (part, end) = next_part(&characters, at);
            for character in characters.get(at..end).unwrap_or_default() {
                text.push(*character, part);
            }
            at = end.max(at + 1);
        }
        text
    }

    fn push(&mut self, character: char, part: Part) {
        let blank = if character == '\n' { '\n' } else { ' ' };
        self.code.push(if matches!(part, Part::Code) { character } else { blank });
        self.literals.push(if matches!(part, Part::Literal) { character } else { blank });
    }

    /// The code without what stands under `#[cfg(test)] mod … { … }`.
    pub(crate) fn code_without_tests(&self) -> String {
        self.code.find("#[cfg(test)]\nmod ").map_or_else(|| self.code.clone(), |at| self.code[..at].to_owned())
    }

    /// The literals outside `#[cfg(test)] mod`.
    pub(crate) fn literals_without_tests(&self) -> String {
        let lines = self.code_without_tests().lines().count();
        self.literals.lines().take(lines).collect::<Vec<_>>().join("\n")
    }

    /// Every function with a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices("fn ") {
            let before = self.code[..at].chars().next_back();
            if before.is_some_and(|character| character.is_alphanumeric() || character == '_') {
                continue;
            }
            let name: String = self.code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if name.is_empty() {
                continue;
            }
            if let Some(end) = body_end(&self.code[at..]) {
                let first_line = self.code[..at].matches('\n').count() + 1;
                let lines = self.code[at..at + end].matches('\n').count() + 1;
                found.push(Function { name, first_line, lines });
            }
        }
        found
    }
}

/// From `fn …`: the byte behind the closing brace of the body; `None` for a signature without one.
fn body_end(code: &str) -> Option<usize> {
    let (mut braces, mut others) = (0_i32, 0_i32);
    for (at, character) in code.char_indices() {
        match character {
            '(' | '[' => others += 1,
            ')' | ']' => others -= 1,
            ';' if braces == 0 && others == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                if braces == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// What begins at `at`, and the index behind it. Quotes count as code, so that the texts stay aligned and readable.
fn next_part(characters: &[char], at: usize) -> (Part, usize) {
    let here = |offset: usize| characters.get(at + offset).copied().unwrap_or('\0');
    match (here(0), here(1)) {
        ('/', '/') => (Part::Comment, find(characters, at, '\n')),
        ('/', '*') => (Part::Comment, comment_end(characters, at)),
        ('"', _) => (Part::Literal, string_end(characters, at + 1)),
        ('r', '"' | '#') | ('b', 'r') if !follows_word(characters, at) => match raw_string_end(characters, at) {
            Some(end) => (Part::Literal, end),
            None => (Part::Code, at + 1),
        },
        ('\'', '\\') => (Part::Literal, find(characters, at + 3, '\'') + 1),
        ('\'', _) if here(2) == '\'' => (Part::Literal, at + 3),
        _ => (Part::Code, at + 1),
    }
}

fn follows_word(characters: &[char], at: usize) -> bool {
    at.checked_sub(1).and_then(|before| characters.get(before)).is_some_and(|c| c.is_alphanumeric() || *c == '_')
}

fn find(characters: &[char], from: usize, wanted: char) -> usize {
    (from..characters.len()).find(|at| characters.get(*at) == Some(&wanted)).unwrap_or(characters.len())
}

fn string_end(characters: &[char], from: usize) -> usize {
    let mut at = from;
    while let Some(character) = characters.get(at) {
        match character {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    characters.len()
}

fn comment_end(characters: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0_usize, from);
    while at < characters.len() {
        match (characters.get(at), characters.get(at + 1)) {
            (Some('/'), Some('*')) => (depth, at) = (depth + 1, at + 2),
            (Some('*'), Some('/')) => {
                (depth, at) = (depth.saturating_sub(1), at + 2);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    characters.len()
}

fn raw_string_end(characters: &[char], from: usize) -> Option<usize> {
    let mut at = from;
    while matches!(characters.get(at), Some('b' | 'r')) {
        at += 1;
    }
    let hashes = (at..characters.len()).take_while(|index| characters.get(*index) == Some(&'#')).count();
    at += hashes;
    if characters.get(at) != Some(&'"') {
        return None;
    }
    at += 1;
    while at < characters.len() {
        let closes = characters.get(at) == Some(&'"')
            && characters.get(at + 1..at + 1 + hashes).is_some_and(|tail| tail.iter().all(|c| *c == '#'));
        if closes {
            return Some(at + 1 + hashes);
        }
        at += 1;
    }
    Some(characters.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r##"
// SELECT in a comment /* not nested
fn one<'a>(x: &'a str) -> char { /* fn two() { */ '{' }
const SQL: &str = r#"SELECT " FROM {"#;
fn three() -> u8 {
    let _ = "fn four() {\" }";
    b'\''
}
trait T { fn five(&self, x: [u8; 3]); }
#[cfg(test)]
mod tests { const X: &str = "INSERT"; }
"##;

    #[test]
    fn words_in_comments_and_literals_are_not_code() {
        let text = RustText::read(SOURCE);
        assert!(!text.code.contains("SELECT") && !text.code.contains("two") && !text.code.contains("four"));
        assert!(
            text.literals.contains("SELECT") && text.literals.contains("four") && !text.literals.contains("comment")
        );
        assert!(!text.literals_without_tests().contains("INSERT"));
        assert_eq!(text.code.lines().count(), SOURCE.lines().count());
    }

    #[test]
    fn functions_are_measured_from_their_first_to_their_last_line() {
        let found: Vec<(String, usize, usize)> =
            RustText::read(SOURCE).functions().into_iter().map(|f| (f.name, f.first_line, f.lines)).collect();
        assert_eq!(found, [("one".to_owned(), 3, 1), ("three".to_owned(), 5, 4)]);
    }
}
