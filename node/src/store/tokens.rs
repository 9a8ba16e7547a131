//! API tokens: shown once, stored hashed, scoped, per tenant, revocable (`state.db`).
//! May not keep a token's text.

use super::open::{self, Database};
use super::transaction::store_error;
use super::{Layout, OpenError};
use crate::disk::RealDisk;
use belfry_protocol::engine::store::StoreError;
use belfry_protocol::entry::time::TimeUs;
use belfry_protocol::tlog::hash::sha256;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::str::FromStr;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Append entries of its tenant.
    Append,
    /// Read every entry bundle.
    ReadAll,
}

impl Scope {
    /// Its name on the command line and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::ReadAll => "read-all",
        }
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Append, Self::ReadAll]
            .into_iter()
            .find(|scope| scope.name() == text)
            .ok_or_else(|| format!("unknown scope {text:?}; known are append, read-all"))
    }
}

/// A token as it is stored.
#[derive(Clone, Debug)]
pub struct Token {
    /// Public id, which names it in lists and logs.
    pub id: String,
    /// What it allows.
    pub scope: Scope,
    /// Whose it is; `None`: any tenant.
    pub tenant: Option<String>,
    /// When it was made.
    pub created: TimeUs,
    /// When it ends.
    pub expires: Option<TimeUs>,
    /// When it was revoked.
    pub revoked: Option<TimeUs>,
}

/// The token table.
pub struct Tokens {
    connection: Connection,
}

const COLUMNS: &str = "id, scope, tenant, created_us, expires_us, revoked_us";

impl Tokens {
    /// Opens the table, making it if needed.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(layout: &Layout) -> Result<Self, OpenError> {
        Ok(Self {
            connection: open::writer(&layout.state_db(), Database::State, &RealDisk)?,
        })
    }

    /// Makes a token and returns its text, which is stored nowhere.
    ///
    /// # Errors
    /// When the database fails or there is no randomness.
    pub fn create(
        &self,
        scope: Scope,
        tenant: Option<&str>,
        now: TimeUs,
        expires: Option<TimeUs>,
    ) -> Result<(Token, String), StoreError> {
        let mut secret = [0u8; 30];
        getrandom::fill(&mut secret).map_err(|error| StoreError::Io(error.to_string()))?;
        let text = format!("belfry_{}", belfry_protocol::hex::encode(&secret));
        let hash = sha256(text.as_bytes());
        let id: String = hash.to_hex().chars().take(12).collect();
        self.connection
            .execute(
                "INSERT INTO token (id, hash, scope, tenant, created_us, expires_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![id, hash.as_bytes().as_slice(), scope.name(), tenant, now.micros(), expires.map(TimeUs::micros)],
            )
            .map_err(|error| store_error(&error))?;
        let token = Token {
            id,
            scope,
            tenant: tenant.map(str::to_owned),
            created: now,
            expires,
            revoked: None,
        };
        Ok((token, text))
    }

    /// The live token with this text.
    ///
    /// # Errors
    /// When the database fails.
    pub fn authenticate(&self, text: &str, now: TimeUs) -> Result<Option<Token>, StoreError> {
        let hash = sha256(text.as_bytes());
        let token = self
            .connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM token WHERE hash = ?1"))
            .and_then(|mut statement| {
                statement
                    .query_row([hash.as_bytes().as_slice()], read)
                    .optional()
            })
            .map_err(|error| store_error(&error))?;
        Ok(token
            .filter(|token| token.revoked.is_none() && token.expires.is_none_or(|end| end > now)))
    }

    /// All tokens, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn list(&self) -> Result<Vec<Token>, StoreError> {
        self.connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM token ORDER BY created_us, id"
            ))
            .and_then(|mut statement| statement.query_map([], read)?.collect())
            .map_err(|error| store_error(&error))
    }

    /// Revokes the token whose id is or begins with `id`; returns the full ids that matched, and revokes only if that is
    /// one.
    ///
    /// # Errors
    /// When the database fails.
    pub fn revoke(&self, id: &str, now: TimeUs) -> Result<Vec<String>, StoreError> {
        let matching: Vec<String> = self
            .list()?
            .into_iter()
            .map(|token| token.id)
            .filter(|full| full.starts_with(id))
            .collect();
        if let [one] = matching.as_slice() {
            self.connection
                .execute(
                    "UPDATE token SET revoked_us = ?2 WHERE id = ?1 AND revoked_us IS NULL",
                    params![one, now.micros()],
                )
                .map_err(|error| store_error(&error))?;
        }
        Ok(matching)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Token> {
    let time = |micros: i64| TimeUs::from_micros(micros).unwrap_or_default();
    let scope: String = row.get(1)?;
    Ok(Token {
        id: row.get(0)?,
        // Only `create` writes this column; the weakest scope stands for anything else.
        scope: scope.parse().unwrap_or(Scope::Append),
        tenant: row.get(2)?,
        created: time(row.get(3)?),
        expires: row.get::<_, Option<i64>>(4)?.map(time),
        revoked: row.get::<_, Option<i64>>(5)?.map(time),
    })
}
