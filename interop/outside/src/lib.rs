//! A few lines with each crate and each feature.
#![forbid(unsafe_code)]

#[cfg(feature = "core")]
pub mod core_alone {
    //! The spine, with the transports that it brings.

    use transport_core::mem::MemTransport;
    use transport_core::tcp::TcpTransport;
    use transport_core::{Connect, Connection, Limits, Listen, Policy, Server, Transports};

    /// The transports of core.
    pub fn transports() -> Transports {
        Transports::new()
            .with(TcpTransport::new())
            .with(MemTransport::new())
    }

    /// A server within the process.
    pub async fn serve() -> Result<Server, transport_core::ListenError> {
        let listen = Listen::new(&transports(), "mem://outside");
        listen
            .policy(Policy::same_process())
            .limits(Limits::default().with_parts(2))
            .start()
            .await
    }

    /// Its client.
    pub async fn ask() -> Result<Connection, transport_core::ConnectError> {
        Connect::new(&transports(), "mem://outside")
            .server(Policy::same_process())
            .await
    }
}

#[cfg(feature = "core-test-util")]
pub mod core_test_util {
    //! The test kit.

    use transport_core::mem::MemTransport;
    use transport_core::test_util::FaultyTransport;

    /// Memory as a bad network.
    pub fn transport() -> FaultyTransport<MemTransport> {
        let faulty = FaultyTransport::new(MemTransport::new());
        faulty.control().refuse_connects(true);
        faulty
    }
}

#[cfg(feature = "unix")]
pub mod unix_alone {
    //! Unix sockets.

    use transport_unix::{UnixConfig, UnixTransport};

    /// Sockets for a group.
    pub fn for_a_group() -> UnixTransport {
        UnixTransport::with_config(UnixConfig::default().with_mode(0o660))
    }
}

#[cfg(feature = "tls")]
pub mod tls_alone {
    //! TLS.

    use transport_tls::{LoadError, TlsConfig, TlsTransport, Trust};

    /// A client that trusts one authority.
    pub fn client() -> Result<TlsTransport, LoadError> {
        TlsTransport::with_config(TlsConfig::new().with_trust(Trust::ca_file("ca.pem")))
    }
}

#[cfg(feature = "zmq")]
pub mod zmq_alone {
    //! What goes through ZeroMQ.

    use transport_zmq::ZmqTransport;
    use transport_zmq::curve::CurveSecretKey;

    /// A key of our own.
    pub fn key() -> CurveSecretKey {
        CurveSecretKey::generate()
    }

    /// Streams over whatever there is.
    pub fn over(inner: ZmqTransport) -> ZmqTransport {
        ZmqTransport::new("zmq+zmq", inner)
    }
}

#[cfg(feature = "certgen")]
pub mod certgen_alone {
    //! Certificates in memory.

    use certgen::{AuthorityConfig, CertificateAuthority, Error, LeafConfig};

    /// The key and certificate of a server.
    pub fn server() -> Result<String, Error> {
        let authority = CertificateAuthority::new(&AuthorityConfig::default())?;
        let server = authority.issue(&LeafConfig::new(["localhost"])?)?;
        Ok(server.combined_pem().to_string())
    }
}

#[cfg(all(feature = "core", feature = "unix"))]
pub mod core_with_unix {
    //! A transport crate added to core.

    /// Core's transports and Unix sockets.
    pub fn transports() -> transport_core::Transports {
        crate::core_alone::transports().with(crate::unix_alone::for_a_group())
    }
}

#[cfg(feature = "facade")]
pub mod facade {
    //! All by URL.

    use transport::{Message, Policy};

    /// Says hello, and waits for the answer.
    pub async fn hello(address: &str) -> Result<Option<Message>, Box<dyn std::error::Error>> {
        let mut connection = transport::connect(address)
            .server(Policy::danger_anyone())
            .await?;
        connection.send("hello").await?;
        Ok(connection.recv().await?)
    }

    /// The facade shows core as it is.
    pub fn transports() -> transport::core::Transports {
        transport::transports()
    }
}

#[cfg(feature = "facade-unix")]
pub mod facade_unix {
    //! The feature `unix` of the facade.

    /// The transport as the facade shows it.
    pub fn unix() -> transport::unix::UnixTransport {
        transport::unix::UnixTransport::new()
    }
}

#[cfg(feature = "facade-tls")]
pub mod facade_tls {
    //! The feature `tls` of the facade.

    use transport::tls::TlsTransport;

    /// A table with settings of our own.
    pub fn transports(tls: &TlsTransport) -> transport::core::Transports {
        transport::with_tls(transport::transports(), tls)
    }
}

#[cfg(feature = "facade-tls-platform-trust")]
pub mod facade_tls_platform_trust {
    //! The feature `tls-platform-trust` of the facade.

    /// Whom the operating system trusts.
    pub fn trust() -> transport::tls::Trust {
        transport::tls::Trust::platform()
    }
}

#[cfg(feature = "facade-tls12")]
pub mod facade_tls12 {
    //! The feature `tls12` of the facade.

    /// For peers of long ago.
    pub fn legacy() -> transport::tls::TlsConfig {
        transport::tls::TlsConfig::new().danger_allow_tls12()
    }
}

#[cfg(feature = "facade-zmq")]
pub mod facade_zmq {
    //! The feature `zmq` of the facade.

    use transport::Policy;
    use transport::zmq::{PushSocket, SocketConfig};

    /// A socket over the transports of the facade. Must be called within a tokio runtime.
    pub fn push() -> PushSocket {
        let config = SocketConfig::new(Policy::same_user());
        PushSocket::new(&transport::transports(), config)
    }
}

#[cfg(feature = "facade-axum")]
pub mod facade_axum {
    //! The feature `axum` of the facade.

    /// A listener for axum.
    pub fn listener(server: transport::RawServer) -> transport::http::HttpListener {
        transport::http::HttpListener::new(server)
    }
}

#[cfg(feature = "facade-tonic")]
pub mod facade_tonic {
    //! The feature `tonic` of the facade.

    /// Connections for tonic.
    pub fn incoming(server: transport::RawServer) {
        drop(transport::http::incoming(server));
    }
}

#[cfg(feature = "facade-metrics")]
pub mod facade_metrics {
    //! The feature `metrics` of the facade.

    /// The names of all metrics.
    pub fn names() -> Vec<&'static str> {
        transport::metrics::describe();
        transport::metrics::METRICS.iter().map(|metric| metric.name).collect()
    }
}

#[cfg(feature = "facade-test-util")]
pub mod facade_test_util {
    //! The feature `test-util` of the facade.

    use transport::Connection;
    use transport::test_util::{pair, virtual_time};

    /// A pair, in virtual time.
    pub fn both_ends() -> (Connection, Connection) {
        virtual_time(1, async |_| pair().await)
    }
}

#[cfg(feature = "facade-blocking")]
pub mod facade_blocking {
    //! The feature `blocking` of the facade.

    use transport::{Message, Policy, blocking};

    /// Says hello, and waits for the answer.
    pub fn hello(address: &str) -> Result<Option<Message>, Box<dyn std::error::Error>> {
        let settings = transport::connect(address).server(Policy::danger_anyone());
        let mut connection = blocking::connect(settings)?;
        connection.send("hello")?;
        Ok(connection.recv()?)
    }
}
