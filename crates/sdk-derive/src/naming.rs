//! What a command, or an event, is called that is given no name.

/// The longest name of a task, as `orchestratum-core` has it: this crate runs inside the compiler and uses none of ours.
const NAME_MAX_LENGTH: usize = 100;

/// One trailing `Command` goes, an underscore comes before every capital but the first, and all is lower case.
///
/// Every capital, also in a row of them: `HTTPCallCommand` is `h_t_t_p_call`. Names are in databases and in other programs; a
/// nicer rule would change them.
pub(crate) fn by_convention(type_name: &str) -> String {
    without(type_name, "Command")
}

/// The same for events, which lose one trailing `Event`.
pub(crate) fn of_event(type_name: &str) -> String {
    without(type_name, "Event")
}

fn without(type_name: &str, suffix: &str) -> String {
    let short = type_name.strip_suffix(suffix).unwrap_or(type_name);
    let mut name = String::with_capacity(short.len() + 8);
    for (index, letter) in short.chars().enumerate() {
        if letter.is_uppercase() && index > 0 {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// What names of commands and targets look like.
pub(crate) const RULE: &str = "[A-Za-z0-9._-]{1,100}";

pub(crate) fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= NAME_MAX_LENGTH && name.bytes().all(is_plain)
}

/// What is wrong with the name of a command, if something is.
pub(crate) fn fault(name: &str) -> Option<String> {
    (!is_name(name)).then(|| {
        format!(
            "`{name}` cannot be the name of a command: it must match {RULE}; give another one by \
             #[command(name = \"…\")]"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn match_22_the_suffix_goes_and_every_capital_begins_a_word() {
        for (type_name, name) in [
            ("SendEmailCommand", "send_email"),
            ("GenerateReport", "generate_report"),
            ("HTTPCallCommand", "h_t_t_p_call"),
            ("CommandCommand", "command"),
            ("SendCommandNow", "send_command_now"),
            ("Step2Command", "step2"),
            ("already_small", "already_small"),
        ] {
            assert_eq!(by_convention(type_name), name);
        }
    }

    #[test]
    fn events_lose_their_suffix() {
        for (type_name, name) in [
            ("OrderCreatedEvent", "order_created"),
            ("PaymentProcessed", "payment_processed"),
            ("StartEvent", "start"),
        ] {
            assert_eq!(of_event(type_name), name);
        }
    }

    #[test]
    fn a_name_that_no_task_can_have_is_refused() {
        assert_eq!(fault("email.send-2_x"), None);
        for name in ["", "no space", "größe", &"x".repeat(101)] {
            assert!(fault(name).is_some(), "{name}");
        }
    }
}
