//! One list per set of numbers: the enum, the way back from a raw number, all members, their names.

/// Declares a fieldless enum whose discriminants are part of the interface.
macro_rules! numbered {
    (
        $(#[$meta:meta])*
        pub enum $name:ident: $repr:ty {
            $( $(#[$vmeta:meta])* $variant:ident = $value:literal, $text:literal; )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr($repr)]
        pub enum $name { $( $(#[$vmeta])* $variant = $value, )+ }

        impl $name {
            /// Every member, in the order of its declaration.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )+];

            /// The member with this number, if there is one.
            #[must_use]
            pub const fn from_raw(raw: $repr) -> Option<Self> {
                match raw { $( $value => Some(Self::$variant), )+ _ => None }
            }

            /// The number of this member.
            #[must_use]
            pub const fn raw(self) -> $repr { self as $repr }

            /// The name that logs, records and manifests use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $text, )+ }
            }

            /// The member that [`Self::name`] calls so.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|member| member.name() == name)
            }
        }
    };
}
pub(crate) use numbered;
