//! Words to choose from: text at random is rarely one that SQL knows.

/// Types whose values are each one of a list of words.
#[macro_export]
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident: $words:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        struct $name(&'static str);

        impl<'a> arbitrary::Arbitrary<'a> for $name {
            fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
                const ALL: &[&str] = &$words;
                u.choose(ALL).map(|word| Self(word))
            }
        }
    )*};
}
