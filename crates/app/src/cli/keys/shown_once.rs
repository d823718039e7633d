//! A text that is shown once: on a terminal with its label, alone when piped, or where it was wanted.

use super::arguments::PlaceOptions;
use crate::cli::output::{Output, note, say, text};
use crate::cli::secret_out::Place;
use crate::cli::{Failure, Kind};
use serde_json::Value;

/// Opens the place before the key is made, so that a text never has nowhere to go.
pub(super) fn place(output: &Output, options: &PlaceOptions) -> Result<Place, Failure> {
    let place = match options.clipboard {
        true => Place::clipboard()?,
        false => Place::open(options.to_file.as_deref(), options.to_env.as_deref())?,
    };
    if output.is_quiet && place.is_stdout() {
        return Err(Failure::new(Kind::Usage, "-q prints the id only, and the key is shown once: add --to-file FILE"));
    }
    Ok(place)
}

/// Hands the text of a reply to its place, and prints the rest. `line` says what was done.
pub(super) fn hand_out(output: &Output, mut key: Value, mut place: Place, line: &str) -> Result<(), Failure> {
    let value = text(&key, "value").to_owned();
    place.take(&value, text(&key, "id"))?;
    if !place.is_stdout()
        && let Some(members) = key.as_object_mut()
    {
        members.remove("value");
    }
    if output.is_quiet {
        say(text(&key, "id"));
    } else if !output.json(&key) {
        print(output, &key, &value, &place, line);
    }
    Ok(())
}

fn print(output: &Output, key: &Value, value: &str, place: &Place, line: &str) {
    if !place.is_stdout() {
        note(line);
        note(format_args!("Key in            {place}"));
    } else if !output.is_terminal {
        // Piped: the secret alone, so that it can go straight where it is wanted.
        note(line);
        say(value);
    } else {
        say(line);
        say(format_args!("Key (shown once)  {value}"));
        say(format_args!("First use         claviger requests list --key {}", text(key, "id")));
    }
}
