//! Finding one's way in a TOML text: lines of keys, flattened names, the nearest known name.

/// Line (from 1) of a byte offset.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or(text).matches('\n').count() + 1
}

/// All values of a table as dotted names, in order; arrays stay whole.
pub(super) fn flatten(table: &toml::Table) -> Vec<(String, toml::Value)> {
    let mut list = Vec::new();
    for (key, value) in table {
        match value {
            // An action of a scrub rule may be a small table of its own.
            toml::Value::Table(inner) if !inner.contains_key("mask") => {
                list.extend(
                    flatten(inner)
                        .into_iter()
                        .map(|(name, value)| (format!("{key}.{name}"), value)),
                );
            }
            _ => list.push((key.clone(), value.clone())),
        }
    }
    list
}

/// Line (from 1) on which the dotted key `path` is set; 0 if it cannot be told.
pub(super) fn line_of(text: &str, path: &str) -> usize {
    let mut section = String::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next())
        {
            section = format!("{name}.");
            continue;
        }
        let key = line
            .split('=')
            .next()
            .unwrap_or("")
            .trim()
            .trim_matches('"');
        if !key.is_empty() && format!("{section}{key}") == path {
            return number + 1;
        }
    }
    0
}

/// The known name with the smallest edit distance.
pub(super) fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> &'static str {
    known
        .min_by_key(|candidate| distance(name, candidate))
        .unwrap_or("")
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
