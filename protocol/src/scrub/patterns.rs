//! The candidate patterns, one compiled automaton for all. A pattern finds where a value may be; its validator
//! decides and says how far it goes. Every pattern is of bounded length, so rejected candidates stay cheap.

use regex_automata::meta::{BuildError, Config, Regex};
use regex_automata::util::syntax;

/// What a pattern's match is handed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The first line of a private key in PEM.
    Pem,
    /// An age identity.
    Age,
    /// The first letters of a minisign or signify secret key.
    Minisign,
    /// Where a URL's authority begins.
    Url,
    /// An AWS access key id.
    AwsKeyId,
    /// A GitHub token.
    Github,
    /// A Google API key.
    Google,
    /// The first letters of a token's header.
    Jwt,
    /// A Singapore NRIC or FIN.
    SgNric,
    /// The same, masked.
    SgNricMasked,
    /// The sign of an e-mail address.
    Email,
    /// An international telephone number.
    Phone,
    /// An AWS resource name.
    Arn,
    /// A UUID of version 4.
    Uuid,
    /// The country, check digits and first group of an IBAN.
    Iban,
    /// Digits that may be a card, MyKad or local telephone number.
    Digits,
}

impl Rule {
    /// Whether a value may begin in the middle of letters: these have marks that nothing else has.
    pub(super) fn starts_anywhere(self) -> bool {
        matches!(
            self,
            Self::Pem | Self::Age | Self::Url | Self::Jwt | Self::Email
        )
    }
}

/// Rules and patterns; of patterns that match at one place the first wins. Only [`Rule::Uuid`] and [`Rule::Digits`]
/// can begin at one place, and the scan tries the second where the first is rejected.
pub(super) const PATTERNS: &[(Rule, &str)] = &[
    (
        Rule::Pem,
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----",
    ),
    (
        Rule::Age,
        r"(?:AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{58}|age-secret-key-(?:pq-)?1[0-9a-z]{58})",
    ),
    (
        Rule::Minisign,
        r"RW(?:RTY0Iy|QAAEIy|RCSwAA)[A-Za-z0-9+/]{32}",
    ),
    (Rule::Url, r"://"),
    (
        Rule::AwsKeyId,
        r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}",
    ),
    (
        Rule::Github,
        r"(?:gh[pousr]_[0-9A-Za-z]{36}|github_pat_[0-9A-Za-z_]{82})",
    ),
    (Rule::Google, r"AIza[0-9A-Za-z_\-]{35}"),
    (Rule::Jwt, r"eyJ[A-Za-z0-9_\-]{10}"),
    (Rule::SgNric, r"[STFGMstfgm][0-9]{7}[A-Za-z]"),
    (
        Rule::SgNricMasked,
        r"(?:[STFGMstfgm][xX]|\*)[xX*]{3}[0-9]{3}[A-Za-z]",
    ),
    (Rule::Email, r"@[A-Za-z0-9\x80-\xff]"),
    (Rule::Phone, r"\+[1-9]"),
    (Rule::Arn, r"arn:aws[a-z-]{0,20}:"),
    (
        Rule::Uuid,
        r"(?i)[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    ),
    (Rule::Iban, r"[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4}"),
    (Rule::Digits, r"[0-9](?:[ .()\-]{0,2}[0-9]){7}"),
];

/// Compiles all patterns into one automaton over bytes.
pub(super) fn compile() -> Result<Regex, Box<BuildError>> {
    let patterns: Vec<&str> = PATTERNS.iter().map(|(_, pattern)| *pattern).collect();
    Regex::builder()
        .configure(Config::new().utf8_empty(false))
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .build_many(&patterns)
        .map_err(Box::new)
}
