//! Variables and their attributes, and those that are local to functions.
use super::Bytes;
use crate::text::Text;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A variable.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Variable {
    /// `None`: it has attributes, but is unset.
    pub value: Option<Bytes>,
    /// Whether programs get it.
    pub is_exported: bool,
    /// Whether it stays as it is.
    pub is_readonly: bool,
}

/// All variables.
#[derive(Clone, Default, Debug)]
pub struct Variables {
    all: BTreeMap<Bytes, Variable>,
    /// For each function that is running: what its local variables were before.
    frames: Vec<Vec<(Bytes, Option<Variable>)>>,
}

impl Variables {
    /// The value of `name`, if it is set.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Bytes> {
        self.all.get(name)?.value.as_ref()
    }

    /// Sets `name`.
    ///
    /// # Errors
    /// What to say if it is read-only.
    pub fn set(&mut self, name: &[u8], value: Bytes) -> Result<(), String> {
        let variable = self.changeable(name)?;
        variable.value = Some(value);
        Ok(())
    }

    /// Removes `name`.
    ///
    /// # Errors
    /// What to say if it is read-only.
    pub fn unset(&mut self, name: &[u8]) -> Result<(), String> {
        self.changeable(name)?;
        self.all.remove(name);
        Ok(())
    }

    fn changeable(&mut self, name: &[u8]) -> Result<&mut Variable, String> {
        let variable = self.all.entry(name.to_vec()).or_default();
        if variable.is_readonly {
            return Err(format!("{}: is read only", Text(name)));
        }
        Ok(variable)
    }

    /// Lets programs have `name`.
    pub fn export(&mut self, name: &[u8]) {
        self.all.entry(name.to_vec()).or_default().is_exported = true;
    }

    /// Keeps `name` as it is.
    pub fn make_readonly(&mut self, name: &[u8]) {
        self.all.entry(name.to_vec()).or_default().is_readonly = true;
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Variable)> {
        self.all.iter()
    }

    /// `NAME=value` of all that programs get.
    pub fn environment(&self) -> impl Iterator<Item = Bytes> {
        let exported = self.all.iter().filter(|(_, variable)| variable.is_exported);
        exported.filter_map(|(name, variable)| {
            let value = variable.value.as_ref()?;
            Some([name.as_slice(), b"=", value].concat())
        })
    }

    /// A function begins.
    pub fn enter(&mut self) {
        self.frames.push(Vec::new());
    }

    /// A function ends: its local variables are what they were.
    pub fn leave(&mut self) {
        for (name, before) in self.frames.pop().unwrap_or_default().into_iter().rev() {
            match before {
                Some(variable) => self.all.insert(name, variable),
                None => self.all.remove(&name),
            };
        }
    }

    /// Makes `name` local to the function; it keeps its value.
    ///
    /// # Errors
    /// What to say if no function is running.
    pub fn make_local(&mut self, name: &[u8]) -> Result<(), String> {
        let Some(frame) = self.frames.last_mut() else {
            return Err("not in a function".into());
        };
        frame.push((name.to_vec(), self.all.get(name).cloned()));
        Ok(())
    }

    /// What `name` is now, to be put back by [`Variables::restore`].
    #[must_use]
    pub fn save(&self, name: &[u8]) -> Option<Variable> {
        self.all.get(name).cloned()
    }

    /// Puts back what [`Variables::save`] gave.
    pub fn restore(&mut self, name: &[u8], before: Option<Variable>) {
        match before {
            Some(variable) => self.all.insert(name.to_vec(), variable),
            None => self.all.remove(name),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_variables_end_with_their_function() {
        let mut variables = Variables::default();
        variables.set(b"a", b"1".to_vec()).unwrap();
        assert!(variables.make_local(b"a").is_err());
        variables.enter();
        variables.make_local(b"a").unwrap();
        variables.make_local(b"b").unwrap();
        variables.set(b"a", b"2".to_vec()).unwrap();
        variables.set(b"b", b"3".to_vec()).unwrap();
        variables.set(b"c", b"4".to_vec()).unwrap();
        variables.leave();
        assert_eq!(variables.get(b"a").unwrap(), b"1");
        assert_eq!(variables.get(b"b"), None);
        assert_eq!(variables.get(b"c").unwrap(), b"4");
    }

    #[test]
    fn exported_variables_are_the_environment() {
        let mut variables = Variables::default();
        variables.export(b"unset");
        variables.set(b"a", b"1".to_vec()).unwrap();
        variables.export(b"a");
        variables.set(b"b", b"2".to_vec()).unwrap();
        assert_eq!(variables.environment().collect::<Vec<_>>(), [b"a=1"]);
        variables.make_readonly(b"a");
        assert!(variables.set(b"a", b"2".to_vec()).is_err());
        assert!(variables.unset(b"a").is_err());
    }
}
