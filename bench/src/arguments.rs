//! Flags of the bench: `--name value` or a bare `--name`, unknown ones refused.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context, bail};

/// What was typed; each command takes what it knows and then calls [`Arguments::finish`].
#[derive(Debug)]
pub(crate) struct Arguments {
    verb: Option<String>,
    flags: BTreeMap<String, Option<String>>,
    strays: Vec<String>,
}

impl Arguments {
    pub(crate) fn from_command_line() -> Self {
        Self::new(std::env::args().skip(1))
    }

    fn new(words: impl Iterator<Item = String>) -> Self {
        let mut words = words.peekable();
        let verb = words.next_if(|word| !word.starts_with('-'));
        let (mut flags, mut strays) = (BTreeMap::new(), Vec::new());
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                Some(name) => match name.split_once('=') {
                    Some((name, value)) => drop(flags.insert(name.to_owned(), Some(value.to_owned()))),
                    None => {
                        let value = words.next_if(|next| !next.starts_with("--"));
                        flags.insert(name.to_owned(), value);
                    }
                },
                None => strays.push(word),
            }
        }
        Self { verb, flags, strays }
    }

    pub(crate) fn verb(&mut self) -> Option<String> {
        self.verb.take()
    }

    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.flags.contains_key(name)
    }

    /// Takes a flag without a value.
    pub(crate) fn switch(&mut self, name: &str) -> anyhow::Result<bool> {
        match self.flags.remove(name) {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(value)) => bail!("--{name} takes no value, yet was given {value:?}"),
        }
    }

    /// Takes a flag that may be absent.
    pub(crate) fn optional<T>(&mut self, name: &str) -> anyhow::Result<Option<T>>
    where
        T: FromStr,
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        match self.flags.remove(name) {
            None => Ok(None),
            Some(None) => bail!("--{name} needs a value"),
            Some(Some(value)) => Ok(Some(value.parse().with_context(|| format!("--{name} {value:?}"))?)),
        }
    }

    /// Takes a flag that must be there.
    pub(crate) fn required<T>(&mut self, name: &str) -> anyhow::Result<T>
    where
        T: FromStr,
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        self.optional(name)?.with_context(|| format!("--{name} is missing"))
    }

    /// Refuses what no command has taken.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        if let Some(name) = self.flags.keys().next() {
            bail!("no flag named --{name} here");
        }
        if let Some(word) = self.strays.first() {
            bail!("{word:?} belongs to no flag");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn typed(line: &str) -> Arguments {
        Arguments::new(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_are_taken_with_their_values_and_the_rest_is_refused() {
        let mut arguments = typed("load --rate 500 --quick --url=http://127.0.0.1:1 --typo 3");
        assert_eq!(arguments.verb().as_deref(), Some("load"));
        assert_eq!(arguments.required::<u32>("rate").unwrap(), 500);
        assert!(arguments.switch("quick").unwrap());
        assert_eq!(arguments.required::<String>("url").unwrap(), "http://127.0.0.1:1");
        assert!(arguments.optional::<u32>("rounds").unwrap().is_none());
        assert!(arguments.finish().unwrap_err().to_string().contains("--typo"));
    }

    #[test]
    fn a_command_may_be_left_out() {
        let mut arguments = typed("--quick");
        assert_eq!(arguments.verb(), None);
        assert!(arguments.switch("quick").unwrap());
        arguments.finish().unwrap();
    }
}
