//! What a schedule does where the plain rule, one task a slot, is not enough.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The numbers in the database and the words of the interface, of one policy.
macro_rules! policy {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $code),+
        }

        impl $name {
            pub const ALL: [Self; [$($code),+].len()] = [$(Self::$variant),+];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            /// The number in the database.
            pub const fn code(self) -> i16 {
                self as i16
            }

            /// `None` if nothing has this number: the row was written by a newer version, or is damaged.
            pub const fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

policy! {
    /// What happens with a slot while a task of the schedule is pending or running.
    Overlap {
        /// The slot is skipped.
        #[default]
        Skip = 0 "skip",
        /// It waits until that task is over; slots run one after the other.
        Queue = 1 "queue",
        /// That task is cancelled; the newest slot runs once it is over.
        Replace = 2 "replace",
        /// It runs beside it.
        Allow = 3 "allow",
    }
}

policy! {
    /// What happens with slots that were missed: nobody looked for longer than [`MISFIRE_GRACE`](super::MISFIRE_GRACE).
    Misfire {
        /// One task for all of them, that of the newest.
        #[default]
        FireOnce = 0 "fire_once",
        /// None of them runs.
        Skip = 1 "skip",
        /// Each of them runs, up to [`CATCH_UP_MAX`](super::CATCH_UP_MAX) of the newest.
        CatchUp = 2 "catch_up",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_stand_for_the_same_everywhere() {
        for overlap in Overlap::ALL {
            assert_eq!(Overlap::from_code(overlap.code()), Some(overlap));
            assert_eq!(serde_json::to_value(overlap).expect("a word"), overlap.as_str());
        }
        for misfire in Misfire::ALL {
            assert_eq!(Misfire::from_code(misfire.code()), Some(misfire));
            assert_eq!(serde_json::to_value(misfire).expect("a word"), misfire.as_str());
        }
        assert_eq!(Overlap::from_code(4), None);
        assert_eq!(Misfire::from_code(-1), None);
    }
}
