//! What a label means: its severity, and whether it is an anomaly.
//!
//! The tables are those of the seed, Turnstone's `anomaly.py`: the seven labels of Hybrid-BERT, the level words of
//! generic log classifiers, and the set of labels that count as anomalies.

/// The severity of a label that neither table knows.
const UNKNOWN: &str = "WARN";

/// A label as it is stored: upper-cased, with its severity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The model's label in upper case.
    pub name: String,
    /// `CRITICAL`, `ERROR`, `WARN`, `INFO` or `DEBUG`.
    pub severity: &'static str,
    /// Whether a row with this label and a sufficient score becomes a detection.
    pub anomalous: bool,
}

impl Label {
    /// Reads a label as the model's configuration spells it.
    pub fn new(raw: &str) -> Self {
        let name = raw.to_uppercase();
        let (severity, anomalous) = match name.as_str() {
            "NORMAL" | "INFO" => ("INFO", false),
            "SYSTEM_FAILURE" | "HARDWARE_ISSUE" | "CRITICAL" => ("CRITICAL", true),
            "SECURITY_ANOMALY" | "CONFIG_ERROR" | "ERROR" => ("ERROR", true),
            "PERFORMANCE_ISSUE" | "NETWORK_ANOMALY" => ("WARN", true),
            "WARNING" | "WARN" => ("WARN", false),
            "DEBUG" => ("DEBUG", false),
            _ => (UNKNOWN, false),
        };
        Self { name, severity, anomalous }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_the_severity_of_the_seed() {
        let expected = [
            ("NORMAL", "INFO", false),
            ("SECURITY_ANOMALY", "ERROR", true),
            ("SYSTEM_FAILURE", "CRITICAL", true),
            ("PERFORMANCE_ISSUE", "WARN", true),
            ("NETWORK_ANOMALY", "WARN", true),
            ("CONFIG_ERROR", "ERROR", true),
            ("HARDWARE_ISSUE", "CRITICAL", true),
            ("CRITICAL", "CRITICAL", true),
            ("ERROR", "ERROR", true),
            ("WARNING", "WARN", false),
            ("WARN", "WARN", false),
            ("INFO", "INFO", false),
            ("DEBUG", "DEBUG", false),
        ];
        for (name, severity, anomalous) in expected {
            assert_eq!(Label::new(name), Label { name: name.into(), severity, anomalous });
        }
    }

    #[test]
    fn labels_are_upper_cased_and_unknown_ones_only_warn() {
        assert_eq!(Label::new("system_failure"), Label::new("SYSTEM_FAILURE"));
        assert_eq!(
            Label::new("label_7"),
            Label { name: "LABEL_7".into(), severity: "WARN", anomalous: false }
        );
    }
}
