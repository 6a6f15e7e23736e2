//! Tests that run on every way of hosting commands.

/// A test of each of the functions on each hosting: they take the [`Hosting`](crate::support::Hosting).
macro_rules! on_every_hosting {
    ($($test:ident),* $(,)?) => {
        mod embedded_in_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::$test(crate::support::Hosting::EmbeddedInSqlite).await;
                }
            )*
        }

        mod embedded_in_postgres {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::$test(crate::support::Hosting::EmbeddedInPostgres).await;
                }
            )*
        }

        mod client {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::$test(crate::support::Hosting::Client).await;
                }
            )*
        }
    };
}
pub(crate) use on_every_hosting;
