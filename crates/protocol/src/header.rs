//! What stands before a message: request headers v1 and v2, response headers v0 and v1, and the functions that join
//! header and message.
//!
//! Request header v0 belongs to ControlledShutdown v0 alone, which is not served. The client id keeps the classic layout
//! even in the flexible header v2, so that a broker can read it whatever the version is.

use bytes::Bytes;
use model::ErrorCode;

use crate::api::{ApiKey, ApiRequest, Request, Response};
use crate::codec::{DecodeError, EncodeError, KafkaString, Layout, Problem, Reader, Wire, Writer};
use crate::frame::Frame;
use crate::messages::ApiVersionsResponse;

/// The header of a request that is served in its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API.
    pub api_key: ApiKey,
    /// The version of request and response, within the API's range.
    pub api_version: i16,
    /// The client's number for this request, which the response repeats.
    pub correlation_id: i32,
    /// The client's name for itself (Kafka's `client.id`).
    pub client_id: Option<KafkaString>,
}

/// A request that cannot be handled. All but [`RequestError::ApiVersionsVersion`] close the connection, as in Kafka.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// An ApiVersions request of a version that is not served: answered by [`unsupported_api_versions`].
    #[error("ApiVersions has no version {version}")]
    ApiVersionsVersion {
        /// The client's number for this request.
        correlation_id: i32,
        /// The version that was asked for.
        version: i16,
    },
    /// An API that is not served.
    #[error("no API has key {key}")]
    UnknownApi {
        /// The key that was asked for.
        key: i16,
        /// The version that was asked for.
        version: i16,
    },
    /// A version that is not served.
    #[error("{api_key} has no version {version}")]
    UnsupportedVersion {
        /// The API.
        api_key: ApiKey,
        /// The version that was asked for.
        version: i16,
    },
    /// A header that is none.
    #[error("malformed request header: {0}")]
    Header(DecodeError),
    /// A body that is not such a request.
    #[error("malformed {api_key} request of version {version}: {problem}")]
    Body {
        /// The API.
        api_key: ApiKey,
        /// The version.
        version: i16,
        /// What is wrong.
        problem: DecodeError,
    },
}

impl RequestHeader {
    /// Reads a header and leaves the reader at the body. Errors are all of [`RequestError`] but `Body`.
    pub(crate) fn read(reader: &mut Reader) -> Result<Self, RequestError> {
        let named = |field| {
            move |error: DecodeError| RequestError::Header(error.within("RequestHeader", field))
        };
        reader.set_version(0, Layout::Classic);
        let key = reader.read_i16().map_err(named("request_api_key"))?;
        let version = reader.read_i16().map_err(named("request_api_version"))?;
        let correlation_id = reader.read_i32().map_err(named("correlation_id"))?;
        let Some(api_key) = ApiKey::from_wire(key) else {
            return Err(RequestError::UnknownApi { key, version });
        };
        if !api_key.versions().contains(version) {
            // Nothing behind the correlation id is read: a version that does not exist yet may look like anything.
            return Err(match api_key {
                ApiKey::ApiVersions => RequestError::ApiVersionsVersion { correlation_id, version },
                _ => RequestError::UnsupportedVersion { api_key, version },
            });
        }
        let client_id = reader.read_nullable_string().map_err(named("client_id"))?;
        reader.set_version(version, api_key.layout(version));
        skip_tagged_fields(reader).map_err(named("tagged_fields"))?;
        Ok(Self { api_key, api_version: version, correlation_id, client_id })
    }
}

fn skip_tagged_fields(reader: &mut Reader) -> Result<(), DecodeError> {
    reader.read_tagged_fields(|reader, _| {
        reader.skip_rest();
        Ok(())
    })
}

/// Reads a request, header and body, from a frame without its length. Bytes behind the body are ignored, as in Kafka.
///
/// # Errors
/// [`RequestError`].
pub fn decode_request(frame: Bytes) -> Result<(RequestHeader, Request), RequestError> {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::read(&mut reader)?;
    let (api_key, version) = (header.api_key, header.api_version);
    match Request::read(api_key, version, &mut reader) {
        Ok(request) => Ok((header, request)),
        Err(problem) => Err(RequestError::Body { api_key, version, problem }),
    }
}

/// Writes a response, header and body, in the version of the request that it answers.
///
/// # Errors
/// [`EncodeError`].
pub fn encode_response(
    correlation_id: i32,
    version: i16,
    response: &Response,
) -> Result<Frame, EncodeError> {
    let api_key = response.api_key();
    let mut writer = writer_for(api_key, version)?;
    writer.put_i32(correlation_id);
    put_no_tagged_fields(&mut writer, api_key.response_header_layout(version));
    response.write(&mut writer);
    writer.finish()
}

/// Writes the answer to [`RequestError::ApiVersionsVersion`]: version 0, UNSUPPORTED_VERSION, and the range of
/// ApiVersions alone, from which the client takes the version of its next attempt (KIP-511).
#[must_use]
pub fn unsupported_api_versions(correlation_id: i32) -> Frame {
    let response = Response::ApiVersions(ApiVersionsResponse::unsupported_version());
    encode_response(correlation_id, 0, &response)
        .expect("version 0 is served and the response is small")
}

/// Writes a request, header and body.
///
/// # Errors
/// [`EncodeError`].
pub fn encode_request<R: ApiRequest>(
    correlation_id: i32,
    client_id: Option<&str>,
    version: i16,
    request: &R,
) -> Result<Frame, EncodeError> {
    let mut writer = writer_for(R::API, version)?;
    writer.set_version(version, Layout::Classic);
    writer.put_i16(R::API.to_wire());
    writer.put_i16(version);
    writer.put_i32(correlation_id);
    writer.put_string(client_id);
    writer.set_version(version, R::API.layout(version));
    put_no_tagged_fields(&mut writer, R::API.layout(version));
    request.write(&mut writer);
    writer.finish()
}

/// Reads a response, header and body, from a frame without its length; returns the correlation id with it.
///
/// An ApiVersions response that says UNSUPPORTED_VERSION is read in version 0, whatever was asked for (KIP-511).
///
/// # Errors
/// [`DecodeError`].
pub fn decode_response<R: ApiRequest>(
    version: i16,
    frame: Bytes,
) -> Result<(i32, R::Response), DecodeError> {
    let mut reader = Reader::new(frame);
    let correlation_id = read_response_header(R::API, version, &mut reader)?;
    R::Response::read(&mut reader).map(|response| (correlation_id, response))
}

/// Reads the header of a response, returns its correlation id and leaves the reader at the body.
pub(crate) fn read_response_header(
    api_key: ApiKey,
    version: i16,
    reader: &mut Reader,
) -> Result<i32, DecodeError> {
    let named = |field| move |error: DecodeError| error.within("ResponseHeader", field);
    if !api_key.versions().contains(version) {
        return Err(reader.error(Problem::UnsupportedVersion(version)));
    }
    reader.set_version(version, api_key.response_header_layout(version));
    let correlation_id = reader.read_i32().map_err(named("correlation_id"))?;
    skip_tagged_fields(reader).map_err(named("tagged_fields"))?;
    let refused = ErrorCode::UnsupportedVersion.to_wire();
    if api_key == ApiKey::ApiVersions && reader.clone().read_i16() == Ok(refused) {
        reader.set_version(0, api_key.layout(0));
    } else {
        reader.set_version(version, api_key.layout(version));
    }
    Ok(correlation_id)
}

/// Starts a frame whose body has a version that exists.
fn writer_for(api_key: ApiKey, version: i16) -> Result<Writer, EncodeError> {
    if !api_key.versions().contains(version) {
        return Err(EncodeError::UnsupportedVersion { api: api_key.name(), version });
    }
    let mut writer = Writer::default();
    writer.set_version(version, api_key.layout(version));
    Ok(writer)
}

fn put_no_tagged_fields(writer: &mut Writer, header_layout: Layout) {
    match header_layout {
        Layout::Classic => {}
        Layout::Flexible => writer.put_unsigned_varint(0),
    }
}
