//! The definitions that belong to the calls on GitLab.

use orchestratum_core::saga::DefinitionName;
use sha2::{Digest, Sha256};

use crate::sagas::Defined;
use crate::{Engine, Error};

pub(super) const CALCULATE_BALANCE: &str = "calculate-balance";
pub(super) const CALCULATION: &str = "calculation";

/// How many versions are looked through for one that was stored before.
const VERSIONS_MAX: usize = 100;

struct Shipped {
    name: &'static str,
    source: &'static str,
    /// SHA-256 of every text that was ever shipped, the newest last: what is changed without a line here reaches no installation.
    texts: &'static [&'static str],
}

const SHIPPED: [Shipped; 2] = [
    Shipped {
        name: CALCULATE_BALANCE,
        source: include_str!("../../../../config/sagas/calculate-balance.yaml"),
        texts: &[
            "5d5c3b3b522db03ecc14838db9cc61c0ac47609dde58e6c6b1d8f7e58a6af22f",
            "0db9d5939882eb3ae4129e0ba769de123ca6693ae31c70e8897810af0fdd77bb",
            "e591c7ab6f404de5c0bbaf8b63f3d5eef13de3a32d695b143ae00bb19c6dbae7",
            "71e4545119a704ff4d4622667465eb6bafc5570f30ed69748cd4b25dc85f2db0",
            "a7a0b28bc5e1a5a18b87a947a70d0f6841befc9658e499313c02ace79534cc86",
            "f91aefc3363ac0125d5b633770e6eb34209251213a3580a9d149db146813c703",
            "a5509fab2d52e77f08628298dac489a2ee6b4784e1b707ec4c197ebcec6e2185",
            "944388c0b92d0a60872ddd3bb6fa88eecb72f533942ea1292f8c3788987e215d",
            "7b3adbc82bebd1d5e250fd68e51a994c4eed6582fb2dd4128036164d216621ff",
            "f6b42375a4bb720c8922b3fcf8890cf16e09e3d15a7055a19eb7fca9d59be973",
            "123074999e7fb3b8cd379ed16cb00215f8f170875d8430f1b185db280505b428",
        ],
    },
    Shipped {
        name: CALCULATION,
        source: include_str!("../../../../config/sagas/calculation.yaml"),
        texts: &[
            "7942c45fbbffe1f7246e084946463007ed070d15cee9518dc35624f01619a727",
            "c6c4e3da309167496cb05d69b00a1d4c797fd1f9672211844e18eae679d097e0",
            "d91b47be7346463a8c7bfd14ebc2d60b8c2cb9c804d00cde0a9a4bab9ee8422e",
            "f6fc02330a802c39200cc4b36144f38905e6fd1190728aab48d70b005ca8c49b",
            "1a2cf15c93c6ed6bbb50b083f363de3a4f15e8f0131a23ecebefeec997f80b00",
            "e8251725ee6e7277000557cf220f4e8387b983d57fa42595e11e1b75058d625d",
            "e8e6efa3bf7f07b0ce12e2c3f867629f94ae4f99c97a6feb44f080e14a62df15",
            "880870072a0b9b946523bf447345f348d62ac996030c1233beb1bec378ffa6d0",
            "bb7b2f1e6109fc80bc028533a598f5f743bd85d0dcf2b89ac0613abc0c9f8bed",
        ],
    },
];

impl Shipped {
    fn is_earlier(&self, source: &str) -> bool {
        source != self.source && self.texts.contains(&sha256(source).as_str())
    }
}

impl Engine {
    /// Stores those of which there is no definition yet, or only one of an earlier release, where a GitLab is named. One that somebody
    /// has given stays the newest.
    ///
    /// # Errors
    /// [`Error::InvalidDefinition`] where the limits of the settings do not let them be.
    pub async fn define_shipped(&self) -> Result<Vec<Defined>, Error> {
        let mut defined = Vec::new();
        if self.parts.gitlab.is_none() {
            return Ok(defined);
        }
        for shipped in &SHIPPED {
            let name = DefinitionName::new(shipped.name).expect("a name");
            if self.is_wanting(&name, shipped).await? {
                defined.push(self.put_definition(&name, shipped.source.to_owned(), None).await?);
            }
        }
        Ok(defined)
    }

    async fn is_wanting(&self, name: &DefinitionName, shipped: &Shipped) -> Result<bool, Error> {
        let store = &self.parts.store;
        let Some(newest) = store.definition(name, None).await? else {
            return Ok(true);
        };
        if !shipped.is_earlier(&newest.source) {
            return Ok(false);
        }
        // Whoever has put an earlier one over this one wants that one.
        let versions = store
            .definition_versions(name, Some(newest.version), VERSIONS_MAX)
            .await?;
        for version in versions {
            let stored = store.definition(name, Some(version.version)).await?;
            if stored.is_some_and(|stored| stored.source == shipped.source) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn sha256(text: &str) -> String {
    let hash = Sha256::digest(text);
    hash.iter()
        .fold(String::new(), |told, byte| format!("{told}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_that_is_shipped_is_known_as_such_later() {
        for shipped in SHIPPED {
            let hash = sha256(shipped.source);
            assert_eq!(shipped.texts.last(), Some(&hash.as_str()), "of {}", shipped.name);
            assert!(!shipped.is_earlier(shipped.source) && !shipped.is_earlier("name: own"));
        }
    }
}
