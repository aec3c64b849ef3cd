//! What predicates said last, so that the same is not asked twice: several rules ask the same of a
//! row, and the next row often has the same value.

use crate::expression::AtomId;

/// Answers of one batch at a time, by atom.
#[derive(Debug, Default)]
pub(crate) struct Said {
    answers: Vec<Answer>,
    /// How many there are once anybody asks.
    atoms: usize,
    /// The batch.
    epoch: u32,
}

/// What an atom said of a value.
#[derive(Debug, Clone, Copy, Default)]
struct Answer {
    epoch: u32,
    /// The value's slot twice, and one more where the answer was yes.
    value: u32,
}

impl Said {
    /// Forgets what was said of the batch before; there are `atoms`.
    pub(crate) fn begin(&mut self, atoms: usize) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.answers.clear();
            self.epoch = 1;
        }
        self.atoms = atoms;
    }

    /// What `atom` said of the value in `slot`, if that is what it was asked last.
    #[inline]
    pub(crate) fn of(&self, atom: AtomId, slot: usize) -> Option<bool> {
        let answer = self.answers.get(atom as usize)?;
        let same = answer.epoch == self.epoch && (answer.value >> 1) as usize == slot;
        same.then_some(answer.value & 1 == 1)
    }

    /// Keeps what `atom` says of the value in `slot`.
    #[inline]
    pub(crate) fn keep(&mut self, atom: AtomId, slot: usize, holds: bool) {
        if self.answers.len() < self.atoms {
            self.answers.resize(self.atoms, Answer::default());
        }
        // Slots past 2^31 cannot be: a batch's rows are counted by an `i32`.
        let slot = u32::try_from(slot).ok().filter(|slot| *slot <= u32::MAX >> 1);
        if let Some((answer, slot)) = self.answers.get_mut(atom as usize).zip(slot) {
            *answer = Answer { epoch: self.epoch, value: slot << 1 | u32::from(holds) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_known_for_its_value_and_batch_only() {
        let mut said = Said::default();
        said.begin(2);
        said.keep(1, 7, true);
        assert_eq!((said.of(1, 7), said.of(1, 6), said.of(0, 7)), (Some(true), None, None));
        said.keep(1, 6, false);
        assert_eq!((said.of(1, 7), said.of(1, 6)), (None, Some(false)));
        said.keep(0, usize::MAX, true);
        said.keep(9, 1, true);
        assert_eq!((said.of(0, usize::MAX), said.of(9, 1)), (None, None));
        said.begin(3);
        assert_eq!((said.of(1, 6), said.of(0, 0)), (None, None));
        said.epoch = u32::MAX;
        said.keep(2, 1, true);
        said.begin(3);
        assert_eq!((said.of(2, 1), said.of(0, 0)), (None, None));
    }
}
