/** What frames the message, belongs to one connection, or tells the upstream of the client. */
const GATEWAY_FIELDS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'forwarded',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-request-id',
])

/** Whether the gateway writes the request field of this lower-case name itself: plugins cannot put theirs in its place. */
export function isGatewayField(name: string): boolean {
  return GATEWAY_FIELDS.has(name)
}

/** Completes "the field … ". */
export const GATEWAYS_OWN = 'is one that the gateway writes itself'
