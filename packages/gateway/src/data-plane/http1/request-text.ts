import type { TargetPlan } from '../../protocol/generation.ts'
import type { UpstreamRequest } from '../streams.ts'

/** The head of a request as an upstream gets it, written anew from the parsed one (RFC 9112, 3). */
export function requestText(request: UpstreamRequest, target: TargetPlan): string {
  let text = `${request.method} ${request.url} HTTP/1.1\r\n`
  const policy = request.hostPolicy
  if (policy.kind === 'preserve' && request.fields.has('host')) {
    text += request.fields.text
  } else {
    text += `host: ${policy.kind === 'literal' ? policy.value : authorityOf(target)}\r\n`
    text += request.fields.textWithoutHost
  }
  text += request.forwardingLines
  if (request.contentLength === -1) text += 'transfer-encoding: chunked\r\n'
  else if (request.contentLength > 0 || request.hasContent)
    text += `content-length: ${request.contentLength}\r\n`
  if (request.expectContinue) text += 'expect: 100-continue\r\n'
  if (request.upgrade !== null) text += `connection: upgrade\r\nupgrade: ${request.upgrade}\r\n`
  return `${text}\r\n`
}

/** RFC 9110, 7.2: the port is left out when it is the scheme's own. */
function authorityOf(target: TargetPlan): string {
  const host = target.hostname.includes(':') ? `[${target.hostname}]` : target.hostname
  const standard = target.scheme === 'https' ? 443 : 80
  return target.port === standard ? host : `${host}:${target.port}`
}
