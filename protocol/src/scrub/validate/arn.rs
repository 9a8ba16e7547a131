//! AWS resource names, `arn:partition:service:region:account:resource`, to the end of the resource.
//! Reads at most [`ARN_MAX`] bytes.

use super::{Span, run};

/// Longest name looked at (AWS documents at most 2048 characters).
const ARN_MAX: usize = 2048;

/// Partitions, beside the isolated ones that begin with `aws-iso`.
const PARTITIONS: &[&[u8]] = &[b"aws", b"aws-cn", b"aws-us-gov", b"aws-eusc"];

/// The name that begins at `start` with `arn:`.
pub(in crate::scrub) fn find(bytes: &[u8], start: usize) -> Option<Span> {
    let length = run(bytes, start, ARN_MAX, is_resource);
    let name = &bytes[start..start + length];
    let mut fields = name.splitn(6, |byte| *byte == b':');
    let partition = fields.nth(1)?;
    let (service, region, account, resource) = (
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    let lower = |field: &[u8]| {
        field
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
    };
    let valid = (PARTITIONS.contains(&partition) || partition.starts_with(b"aws-iso"))
        && !service.is_empty()
        && lower(service)
        && lower(region)
        && (account.is_empty() || (account.len() == 12 && account.iter().all(u8::is_ascii_digit)));
    // Punctuation of the sentence is not of the name.
    let trimmed = resource
        .iter()
        .rev()
        .take_while(|byte| b".,:=+@".contains(byte))
        .count();
    (valid && trimmed < resource.len()).then_some(start..start + length - trimmed)
}

fn is_resource(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_/:.+=,@*$-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arn(text: &str) -> Option<&str> {
        find(text.as_bytes(), text.find("arn:")?).map(|span| &text[span])
    }

    #[test]
    fn names_are_found_whole() {
        for (text, wanted) in [
            (
                "arn:aws:iam::123456789012:user/dev/bob.",
                "arn:aws:iam::123456789012:user/dev/bob",
            ),
            (
                "(arn:aws:s3:::bucket/key.txt)",
                "arn:aws:s3:::bucket/key.txt",
            ),
            (
                "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:f:$LATEST,",
                "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:f:$LATEST",
            ),
            (
                "arn:aws:sns:eu-west-1:123456789012:t*",
                "arn:aws:sns:eu-west-1:123456789012:t*",
            ),
        ] {
            assert_eq!(arn(text), Some(wanted), "{text}");
        }
        for text in [
            "arn:aws:iam",
            "arn:awsx:s3:::b",
            "arn:aws:S3:::b",
            "arn:aws:s3::12:b",
            "arn:aws:s3:::",
        ] {
            assert_eq!(arn(text), None, "{text}");
        }
    }
}
