//! Letters leave by SMTP: the one place that speaks it.
//!
//! What letters say, and when they are tried again, is the management plane's business.

use claviger_control::{DeliverMail, Letter, Undelivered};
use claviger_domain::secret::Secret;
use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A mail server that takes longer than this for one step is left alone for a while.
const PATIENCE: Duration = Duration::from_secs(20);

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    /// In the clear first, then upgraded; refused if the server cannot.
    Upgraded,
    /// From the first byte.
    Wrapped,
    /// Not at all: a server on this machine.
    None,
}

/// The operator's mail server.
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Tls,
    pub(crate) login: Option<(String, Secret<String>)>,
    pub(crate) from: String,
    pub(crate) reply_to: Option<String>,
}

/// The way out.
pub(crate) struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    reply_to: Option<Mailbox>,
}

impl Mailer {
    /// Checks what was configured; no connection is made yet.
    pub(crate) fn new(server: &Server) -> Result<Self, String> {
        let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|error| format!("`{text}` is no sender: {error}"));
        let builder = match server.tls {
            Tls::Upgraded => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(&server.host),
            Tls::Wrapped => AsyncSmtpTransport::<Tokio1Executor>::relay(&server.host),
            Tls::None => Ok(AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)),
        };
        let mut builder = builder.map_err(|error| error.to_string())?.port(server.port).timeout(Some(PATIENCE));
        if let Some((user, password)) = &server.login {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose().clone()));
        }
        Ok(Self {
            transport: builder.build(),
            from: mailbox(&server.from)?,
            reply_to: server.reply_to.as_deref().map(mailbox).transpose()?,
        })
    }

    fn message(&self, letter: Letter) -> Result<Message, Undelivered> {
        let never = |why: String| Undelivered { is_final: true, why };
        let to = letter.to.parse::<Mailbox>().map_err(|error| never(error.to_string()))?;
        let mut message = Message::builder().from(self.from.clone()).to(to).subject(letter.subject);
        if let Some(reply_to) = &self.reply_to {
            message = message.reply_to(reply_to.clone());
        }
        message.header(ContentType::TEXT_PLAIN).body(letter.text).map_err(|error| never(error.to_string()))
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("from", &self.from.email.to_string()).finish_non_exhaustive()
    }
}

impl DeliverMail for Mailer {
    fn deliver(&self, letter: Letter) -> Pin<Box<dyn Future<Output = Result<(), Undelivered>> + Send + '_>> {
        Box::pin(async move {
            let message = self.message(letter)?;
            match self.transport.send(message).await {
                Ok(_) => Ok(()),
                Err(error) => Err(Undelivered { is_final: error.is_permanent(), why: error.to_string() }),
            }
        })
    }
}
