//! A mechanism: `TICKET`, where the client shows a ticket and the server knows whose it is.
//!
//! ```text
//! client                     server
//! SHOW ticket         ->
//!                     <-     ADMIT, or a refusal
//! ```
//!
//! It sends the ticket readable, and says so: core then uses it over protected streams only.

use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};
use transport_core::mechanism::{Context, MechanismFactory, MechanismProperties, Outcome, Step};
use transport_core::{Mechanism, Proof, Refusal, Role, Token};

const NAME: &str = "TICKET";

/// The side that shows a ticket.
pub(crate) struct TicketClient {
    ticket: String,
}

impl TicketClient {
    pub(crate) fn new(ticket: impl Into<String>) -> TicketClient {
        TicketClient { ticket: ticket.into() }
    }
}

impl MechanismFactory for TicketClient {
    fn name(&self) -> &'static str {
        NAME
    }

    fn role(&self) -> Option<Role> {
        Some(Role::Client)
    }

    fn properties(&self) -> MechanismProperties {
        MechanismProperties::default().with_reveals_secret(true)
    }

    fn mechanism(&self, _role: Role) -> Box<dyn Mechanism> {
        Box::new(Show { ticket: self.ticket.clone() })
    }
}

struct Show {
    ticket: String,
}

impl Mechanism for Show {
    fn step(&mut self, token: Option<Token>, _context: &Context<'_>) -> Result<Step, Refusal> {
        let Some(token) = token else {
            return Ok(Step::Send(Token::new("SHOW", std::mem::take(&mut self.ticket))));
        };
        named(token, "ADMIT")?;
        Ok(Step::Done { send: None, outcome: Outcome::default() })
    }
}

/// The side that knows whose ticket it is.
#[derive(Clone)]
pub(crate) struct TicketServer {
    /// Holder and ticket.
    tickets: Vec<(String, String)>,
}

impl TicketServer {
    pub(crate) fn new() -> TicketServer {
        TicketServer { tickets: Vec::new() }
    }

    pub(crate) fn with_ticket(mut self, holder: &str, ticket: &str) -> TicketServer {
        self.tickets.push((holder.to_owned(), ticket.to_owned()));
        self
    }

    /// Compares with all tickets, and each in a time that depends on its length alone.
    fn holder_of(&self, ticket: &[u8]) -> Option<&str> {
        let mut found = Choice::from(0);
        let mut place = u64::MAX;
        for (at, (_, known)) in (0_u64..).zip(&self.tickets) {
            let equal = known.as_bytes().ct_eq(ticket);
            place.conditional_assign(&at, equal);
            found |= equal;
        }
        let place = usize::try_from(place).ok().filter(|_| bool::from(found))?;
        self.tickets.get(place).map(|(holder, _)| holder.as_str())
    }
}

impl MechanismFactory for TicketServer {
    fn name(&self) -> &'static str {
        NAME
    }

    fn role(&self) -> Option<Role> {
        Some(Role::Server)
    }

    fn properties(&self) -> MechanismProperties {
        MechanismProperties::default().with_reveals_secret(true)
    }

    fn mechanism(&self, _role: Role) -> Box<dyn Mechanism> {
        Box::new(self.clone())
    }
}

impl Mechanism for TicketServer {
    fn step(&mut self, token: Option<Token>, _context: &Context<'_>) -> Result<Step, Refusal> {
        let Some(token) = token else {
            return Ok(Step::Expect);
        };
        let shown = named(token, "SHOW")?;
        let holder = self
            .holder_of(&shown.body)
            .ok_or_else(|| Refusal::Other { reason: "nobody has this ticket".to_owned(), tell: true })?;
        let proof = Proof::Other { kind: "ticket".to_owned(), name: holder.to_owned() };
        let outcome = Outcome::new().with_proof(proof);
        // As the last token, so that core can refuse a holder whom the policy denies in its place.
        Ok(Step::Done { send: Some(Token::new("ADMIT", "")), outcome })
    }
}

fn named(token: Token, expected: &'static str) -> Result<Token, Refusal> {
    if token.name == expected {
        return Ok(token);
    }
    Err(Refusal::Unexpected { found: token.name.escape_debug().to_string(), expected })
}
