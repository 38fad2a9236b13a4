//! The people who work here.

use core::time::Duration;
use std::sync::{Arc, OnceLock};

use phi_crypto::{Context, Opener, Sealed, Sealer};
use phi_keys::{Keys, Scope};
use phi_types::{Clock, Timestamp};
use sqlx::{Row, SqlitePool};
use tokio::sync::Mutex;

use super::{Password, PasswordHash, Role, TotpSecret};
use crate::failure::{Doing, Failure};

/// Wrong passwords and codes in a row before an account is locked, well under the hundred of NIST SP 800-63B-4 3.2.2.
const ATTEMPTS: i64 = 5;
/// How long it stays locked.
const LOCKED: Duration = Duration::from_secs(15 * 60);
/// The scope of the sealed code secrets.
const SCOPE: &str = "accounts";

/// What a new or renewed account gets, shown once.
pub(crate) struct Credentials {
    pub(crate) login: &'static str,
    pub(crate) role: Role,
    pub(crate) password: Password,
    pub(crate) totp: TotpSecret,
}

/// Why a sign-in was refused. For the audit log; who tried is told the same for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    UnknownAccount,
    Locked,
    WrongPassword,
    WrongCode,
    UsedCode,
}

impl Refusal {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownAccount => "unknown account",
            Self::Locked => "account locked",
            Self::WrongPassword => "wrong password",
            Self::WrongCode => "wrong code",
            Self::UsedCode => "code used before",
        }
    }
}

/// The accounts in the database. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Accounts {
    db: SqlitePool,
    sealer: Sealer,
    opener: Opener,
    clock: Arc<dyn Clock>,
    /// One attempt at a time: attempts that run side by side would all be counted too late.
    turn: Arc<Mutex<()>>,
}

impl Accounts {
    pub(crate) fn new(db: SqlitePool, keys: &Keys, clock: Arc<dyn Clock>) -> Self {
        let (sealer, opener) = (Sealer::builder(keys.clone()).build(), Opener::builder(keys.clone()).build());
        Self { db, sealer, opener, clock, turn: Arc::default() }
    }

    /// Makes the account, or gives it a new password and code secret and unlocks it.
    pub(crate) async fn issue(&self, login: &'static str, role: Role) -> Result<Credentials, Failure> {
        let doing = "issuing an account";
        let (password, totp) = (Password::random()?, TotpSecret::random()?);
        let hash = PasswordHash::new(&password)?;
        let sealer = self.sealer.for_scope(&Scope::group(SCOPE)).await.doing(doing)?;
        let sealed = sealer.seal(totp.as_bytes(), &context(login)).doing(doing)?;
        sqlx::query(
            "INSERT INTO clinic_accounts (login, role, password, totp) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (login) DO UPDATE SET role = ?2, password = ?3, totp = ?4, last_step = 0, failures = 0, locked_until = 0",
        )
        .bind(login)
        .bind(role.as_str())
        .bind(hash.as_str())
        .bind(sealed)
        .execute(&self.db)
        .await
        .doing(doing)?;
        Ok(Credentials { login, role, password, totp })
    }

    /// The first factor.
    pub(crate) async fn check_password(
        &self,
        login: &str,
        password: Password,
    ) -> Result<Result<Role, Refusal>, Failure> {
        let doing = "checking a password";
        let _turn = self.turn.lock().await;
        let row = sqlx::query("SELECT role, password, locked_until FROM clinic_accounts WHERE login = ?")
            .bind(login)
            .fetch_optional(&self.db)
            .await
            .doing(doing)?;
        let (hash, role, locked) = match &row {
            Some(row) => (
                PasswordHash::stored(row.try_get("password").doing(doing)?),
                Role::from_text(row.try_get("role").doing(doing)?),
                row.try_get::<i64, _>("locked_until").doing(doing)? > self.now(),
            ),
            // As slow as a known account, so that names cannot be guessed by the clock.
            None => (decoy()?, None, false),
        };
        let fits = tokio::task::spawn_blocking(move || hash.fits(&password)).await.doing(doing)?;
        match (role, fits) {
            (None, _) => Ok(Err(Refusal::UnknownAccount)),
            (Some(_), _) if locked => Ok(Err(Refusal::Locked)),
            (Some(role), true) => Ok(Ok(role)),
            (Some(_), false) => {
                self.count_failure(login).await?;
                Ok(Err(Refusal::WrongPassword))
            }
        }
    }

    /// The second factor. A code counts once, and no code counts that is older than one that did.
    pub(crate) async fn check_code(&self, login: &str, code: &str) -> Result<Result<(), Refusal>, Failure> {
        let doing = "checking a code";
        let _turn = self.turn.lock().await;
        let row = sqlx::query("SELECT totp, locked_until FROM clinic_accounts WHERE login = ?")
            .bind(login)
            .fetch_optional(&self.db)
            .await
            .doing(doing)?;
        let Some(row) = row else { return Ok(Err(Refusal::UnknownAccount)) };
        if row.try_get::<i64, _>("locked_until").doing(doing)? > self.now() {
            return Ok(Err(Refusal::Locked));
        }
        let sealed: Sealed<Vec<u8>> = row.try_get("totp").doing(doing)?;
        let opener = self.opener.for_scope(&Scope::group(SCOPE)).await.doing(doing)?;
        let secret = opener.open(&sealed, &context(login)).doing(doing)?;
        let Some(step) = TotpSecret::from_bytes(secret.expose())?.step_of(code, self.clock.now()) else {
            self.count_failure(login).await?;
            return Ok(Err(Refusal::WrongCode));
        };
        let query = "UPDATE clinic_accounts SET last_step = ?1, failures = 0 WHERE login = ?2 AND last_step < ?1";
        let done = sqlx::query(query).bind(step).bind(login).execute(&self.db).await.doing(doing)?;
        if done.rows_affected() == 0 {
            self.count_failure(login).await?;
            return Ok(Err(Refusal::UsedCode));
        }
        Ok(Ok(()))
    }

    async fn count_failure(&self, login: &str) -> Result<(), Failure> {
        let until = self.clock.now().saturating_add(LOCKED).as_unix_micros();
        sqlx::query(
            "UPDATE clinic_accounts SET failures = failures + 1,
             locked_until = CASE WHEN failures + 1 >= ?1 THEN ?2 ELSE locked_until END WHERE login = ?3",
        )
        .bind(ATTEMPTS)
        .bind(until)
        .bind(login)
        .execute(&self.db)
        .await
        .doing("counting a failed sign-in")?;
        Ok(())
    }

    fn now(&self) -> i64 {
        Timestamp::as_unix_micros(self.clock.now())
    }
}

fn context(login: &str) -> Context<'_> {
    Context::new("Account", "totp").record_id(login)
}

/// A hash of a password that nobody knows.
fn decoy() -> Result<PasswordHash, Failure> {
    static DECOY: OnceLock<PasswordHash> = OnceLock::new();
    if let Some(hash) = DECOY.get() {
        return Ok(hash.clone());
    }
    let hash = PasswordHash::new(&Password::random()?)?;
    Ok(DECOY.get_or_init(|| hash).clone())
}
