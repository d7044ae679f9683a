//! Keys by name, as the protocol wants them.

use serde_json::{Value, json};

use super::{BrowserError, Result};

/// Name, code on the keyboard, virtual key code, and the text it types.
const NAMED: [(&str, &str, u32, &str); 15] = [
    ("Enter", "Enter", 13, "\r"),
    ("Tab", "Tab", 9, ""),
    ("Escape", "Escape", 27, ""),
    ("Backspace", "Backspace", 8, ""),
    ("Delete", "Delete", 46, ""),
    ("Space", "Space", 32, " "),
    (" ", "Space", 32, " "),
    ("ArrowLeft", "ArrowLeft", 37, ""),
    ("ArrowUp", "ArrowUp", 38, ""),
    ("ArrowRight", "ArrowRight", 39, ""),
    ("ArrowDown", "ArrowDown", 40, ""),
    ("PageUp", "PageUp", 33, ""),
    ("PageDown", "PageDown", 34, ""),
    ("End", "End", 35, ""),
    ("Home", "Home", 36, ""),
];

/// Bits of the protocol for keys that are held down.
const HELD: [(&str, u32); 4] = [("Alt+", 1), ("Control+", 2), ("Meta+", 4), ("Shift+", 8)];

/// The two events, down and up, that pressing `name` consists of.
pub(super) fn events(name: &str) -> Result<[Value; 2]> {
    let (mut key, mut held) = (name, 0);
    while let Some((rest, bit)) = HELD.iter().find_map(|(prefix, bit)| {
        key.strip_prefix(prefix).filter(|rest| !rest.is_empty()).map(|rest| (rest, *bit))
    }) {
        (key, held) = (rest, held | bit);
    }
    let (key, code, number, text) = match NAMED.iter().find(|known| known.0 == key) {
        Some((_, "Space", number, text)) => (" ", "Space".to_owned(), *number, *text),
        Some((key, code, number, text)) => (*key, (*code).to_owned(), *number, *text),
        None if key.chars().count() == 1 => {
            let upper = key.to_ascii_uppercase();
            let (code, number) = match upper.as_bytes() {
                [letter @ b'A'..=b'Z'] => (format!("Key{upper}"), u32::from(*letter)),
                [digit @ b'0'..=b'9'] => (format!("Digit{upper}"), u32::from(*digit)),
                _ => (String::new(), 0),
            };
            (key, code, number, key)
        }
        None => {
            let known: Vec<_> = NAMED.iter().map(|known| known.0.trim()).collect();
            let known = known.join(" ");
            return Err(BrowserError::new(format!("no key `{name}`: a character, or of {known}")));
        }
    };
    // Held with Control and the like, a key is a command and types nothing.
    let text = if held & !8 == 0 { text } else { "" };
    let down = if text.is_empty() { "rawKeyDown" } else { "keyDown" };
    Ok([down, "keyUp"].map(|kind| {
        json!({ "type": kind, "key": key, "code": code, "windowsVirtualKeyCode": number,
                "modifiers": held, "text": if kind == "keyUp" { "" } else { text } })
    }))
}
