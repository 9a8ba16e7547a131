//! The classes of values the scrubber knows, in order of priority.
//! May not know how a class is detected or what is done with it.

use std::fmt;

/// A class of sensitive values. The order is the priority when matches overlap: the earlier wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A private key: PEM block, age identity, minisign or signify secret.
    PrivateKey,
    /// The password of `scheme://user:password@host`.
    UrlPassword,
    /// An AWS secret access key.
    AwsSecret,
    /// An AWS access key id.
    AwsKeyId,
    /// A GitHub token.
    GithubToken,
    /// A Google API key.
    GoogleApiKey,
    /// A JSON Web Token, signed or encrypted.
    Jwt,
    /// A Singapore NRIC or FIN.
    SgNric,
    /// A Malaysian MyKad number.
    MyNric,
    /// A payment card number.
    Card,
    /// An international bank account number.
    Iban,
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// An AWS resource name.
    AwsArn,
    /// A random (version 4) UUID.
    Uuid,
    /// A Singapore NRIC that is masked already, for example `****567D`.
    SgNricMasked,
}

impl Class {
    /// Every class, highest priority first.
    pub const ALL: [Self; 16] = [
        Self::PrivateKey,
        Self::UrlPassword,
        Self::AwsSecret,
        Self::AwsKeyId,
        Self::GithubToken,
        Self::GoogleApiKey,
        Self::Jwt,
        Self::SgNric,
        Self::MyNric,
        Self::Card,
        Self::Iban,
        Self::Email,
        Self::Phone,
        Self::AwsArn,
        Self::Uuid,
        Self::SgNricMasked,
    ];

    /// The stable name used in configuration, tokens and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PrivateKey => "private_key",
            Self::UrlPassword => "url_password",
            Self::AwsSecret => "aws_secret",
            Self::AwsKeyId => "aws_key_id",
            Self::GithubToken => "github_token",
            Self::GoogleApiKey => "google_api_key",
            Self::Jwt => "jwt",
            Self::SgNric => "sg_nric",
            Self::MyNric => "my_nric",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::AwsArn => "aws_arn",
            Self::Uuid => "uuid",
            Self::SgNricMasked => "sg_nric_masked",
        }
    }

    /// The class of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// Whether the class is a credential: a match hides everything else inside it.
    pub(super) fn is_secret(self) -> bool {
        self <= Self::Jwt
    }

    /// Position in [`Self::ALL`].
    pub(super) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_index_and_names_agree() {
        for (position, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), position);
            assert_eq!(Class::from_name(class.name()), Some(class));
        }
        assert!(Class::ALL.is_sorted());
        assert_eq!(Class::from_name("ssn"), None);
    }
}
