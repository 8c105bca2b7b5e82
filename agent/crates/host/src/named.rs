//! Numbers by name, as the kernel's longer lists have them. One allocation holds all names.

/// Numbers by name, in the order of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// All names, one behind the other.
    names: String,
    /// Where in `names` each ends, and its number.
    numbers: Vec<(usize, u64)>,
}

impl Named {
    pub(crate) fn add(&mut self, name: &str, number: u64) {
        self.names.push_str(name);
        self.numbers.push((self.names.len(), number));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    pub(crate) fn get(&self, name: &str) -> Option<u64> {
        self.iter().find(|(known, _)| *known == name).map(|(_, number)| number)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        let mut start = 0;
        self.numbers.iter().map(move |(end, number)| {
            let name = &self.names[start..*end];
            start = *end;
            (name, *number)
        })
    }
}
