//! NULL: no authentication beyond what the transport proved (RFC 37/ZMTP, section "The NULL Security Mechanism").

use super::{
    Context, Mechanism, MechanismFactory, MechanismProperties, Outcome, Refusal, Step, expect, properties,
};
use crate::framing::{Role, Token};

/// The mechanism `NULL`: both sides send READY with their properties, and nothing is proven.
///
/// It is what an unmodified ZeroMQ peer speaks; over a Unix socket the kernel still proves who that peer is.
///
/// ```text
/// client READY properties        server READY properties      in any order
/// ```
///
/// The client's READY goes out with its greeting. The server waits for it, so that a peer whom the policy denies gets an
/// ERROR in the place of the server's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Null;

impl MechanismFactory for Null {
    fn name(&self) -> &'static str {
        "NULL"
    }

    fn properties(&self) -> MechanismProperties {
        MechanismProperties::default().with_proves_nothing(true).with_opens_unasked(true)
    }

    fn mechanism(&self, _role: Role) -> Box<dyn Mechanism> {
        Box::new(Null)
    }
}

impl Mechanism for Null {
    fn step(&mut self, token: Option<Token>, context: &Context<'_>) -> Result<Step, Refusal> {
        if token.is_none() {
            return Ok(match context.role {
                Role::Client => Step::Send(ready(context)),
                Role::Server => Step::Expect,
            });
        }
        let claims = properties::decode(expect(token, "READY")?.body, "READY")?;
        let send = (context.role == Role::Server).then(|| ready(context));
        Ok(Step::Done { send, outcome: Outcome::new().with_claims(claims) })
    }
}

fn ready(context: &Context<'_>) -> Token {
    let mut body = Vec::new();
    properties::encode(context.own_claims, &mut body);
    Token::new("READY", body)
}
