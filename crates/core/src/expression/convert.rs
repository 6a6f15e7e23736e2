//! Between JSON and the values of the language.

use std::collections::HashMap;
use std::fmt::{self, Write};

use cel::common::types::{
    CelBool, CelDouble, CelDuration, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelTimestamp, CelUInt,
};
use cel::common::value::Val;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{EvaluationError, kinds, meter};

/// JSON has one kind of number. Whole ones become `int`, the kind that literals have: as `uint` they could not be added to
/// any literal. It costs steps of the evaluation that asks.
pub(super) fn from_json(text: &str) -> Result<Box<dyn Val>, serde_json::Error> {
    if !meter::pay_json(text.len()) {
        return Err(Error::custom(OUT_OF_STEPS));
    }
    AnyValue.deserialize(&mut serde_json::Deserializer::from_str(text))
}

const OUT_OF_STEPS: &str = "there are no steps left to read it";

struct AnyValue;

impl<'de> DeserializeSeed<'de> for AnyValue {
    type Value = Box<dyn Val>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if !meter::pay_value() {
            return Err(Error::custom(OUT_OF_STEPS));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Box<dyn Val>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Box::new(CelNull))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Box::new(CelBool::from(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Box::new(CelInt::from(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(match i64::try_from(value) {
            Ok(value) => Box::new(CelInt::from(value)),
            Err(_) => Box::new(CelUInt::from(value)),
        })
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Box::new(CelDouble::from(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        self.visit_string(value.to_owned())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Self::Value, E> {
        Ok(Box::new(CelString::from(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut list: Vec<Box<dyn Val>> = Vec::new();
        while let Some(value) = entries.next_element_seed(Self)? {
            list.push(value);
        }
        Ok(Box::new(CelList::from(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map: HashMap<CelMapKey<'static>, Box<dyn Val>> = HashMap::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(Self)?;
            map.insert(CelMapKey::String(CelString::from(key)), value);
        }
        Ok(Box::new(CelMap::from(map)))
    }
}

/// A value as JSON. The names of an object are sorted: two databases that decide the same must write the same.
/// It costs steps as reading does.
pub(super) fn to_json(value: &dyn Val, most: usize) -> Result<String, EvaluationError> {
    let mut writer = Writer {
        text: String::new(),
        most,
    };
    writer.value(value)?;
    if meter::pay_json(writer.text.len()) {
        Ok(writer.text)
    } else {
        Err(EvaluationError::TooManySteps)
    }
}

/// Text as a string of JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is always JSON")
}

struct Writer {
    text: String,
    most: usize,
}

impl Writer {
    fn put(&mut self, text: &str) -> Result<(), EvaluationError> {
        if self.text.len() + text.len() > self.most {
            return Err(EvaluationError::TooLarge { most: self.most });
        }
        self.text.push_str(text);
        Ok(())
    }

    fn shown(&mut self, value: impl fmt::Display) -> Result<(), EvaluationError> {
        let mut text = String::new();
        write!(text, "{value}").expect("a String takes every character");
        self.put(&text)
    }

    fn value(&mut self, value: &dyn Val) -> Result<(), EvaluationError> {
        if !meter::pay_value() {
            return Err(EvaluationError::TooManySteps);
        }
        if let Some(text) = value.downcast_ref::<CelString<'_>>() {
            // Before it is quoted, which makes a copy.
            if text.inner().len() > self.most {
                return Err(EvaluationError::TooLarge { most: self.most });
            }
            return self.put(&quoted(text.inner()));
        }
        if let Some(number) = value.downcast_ref::<CelInt>() {
            return self.shown(number.inner());
        }
        if let Some(list) = value.downcast_ref::<CelList<'_>>() {
            return self.list(list);
        }
        if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
            return self.map(map);
        }
        if let Some(truth) = value.downcast_ref::<CelBool>() {
            return self.shown(truth.inner());
        }
        if value.downcast_ref::<CelNull>().is_some() {
            return self.put("null");
        }
        if let Some(number) = value.downcast_ref::<CelDouble>() {
            let number = serde_json::Number::from_f64(*number.inner());
            let number = number.ok_or_else(|| refused("a number that is infinite or none has no place in JSON"))?;
            return self.shown(number);
        }
        if let Some(number) = value.downcast_ref::<CelUInt>() {
            return self.shown(number.inner());
        }
        if let Some(time) = value.downcast_ref::<CelTimestamp>() {
            let time = time.inner().with_timezone(&chrono::Utc);
            return self.put(&quoted(&time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)));
        }
        // Durations are numbers of seconds everywhere on the wire.
        if let Some(duration) = value.downcast_ref::<CelDuration>() {
            let micros = duration.inner().num_microseconds();
            let micros = micros.ok_or_else(|| refused("a duration is too long for JSON"))?;
            return if micros % 1_000_000 == 0 {
                self.shown(micros / 1_000_000)
            } else {
                let number = serde_json::Number::from_f64(micros as f64 / 1e6);
                self.shown(number.expect("a quotient of finite numbers"))
            };
        }
        let kind = kinds::type_name(value.get_type().name());
        Err(refused(&format!("{kind} has no place in JSON")))
    }

    fn list(&mut self, list: &CelList<'_>) -> Result<(), EvaluationError> {
        self.put("[")?;
        for (index, value) in list.inner().iter().enumerate() {
            if index > 0 {
                self.put(",")?;
            }
            self.value(value.as_ref())?;
        }
        self.put("]")
    }

    fn map(&mut self, map: &CelMap<'_>) -> Result<(), EvaluationError> {
        let mut entries: Vec<(String, &dyn Val)> = Vec::with_capacity(map.inner().len());
        for (key, value) in map.inner() {
            let name = match key {
                CelMapKey::String(text) => text.inner().to_owned(),
                CelMapKey::Int(number) => number.inner().to_string(),
                CelMapKey::UInt(number) => number.inner().to_string(),
                CelMapKey::Bool(truth) => truth.inner().to_string(),
            };
            entries.push((name, value.as_ref()));
        }
        entries.sort_unstable_by(|left, right| left.0.cmp(&right.0));
        self.put("{")?;
        for (index, (name, value)) in entries.into_iter().enumerate() {
            if index > 0 {
                self.put(",")?;
            }
            self.put(&quoted(&name))?;
            self.put(":")?;
            self.value(value)?;
        }
        self.put("}")
    }
}

fn refused(message: &str) -> EvaluationError {
    EvaluationError::Failed(message.to_owned())
}
