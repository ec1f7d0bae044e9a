import { createSecureContext } from 'node:tls'
import type { RuleReader } from './rule-reader.ts'
import { parseTarget, TARGET_FORM } from './target.ts'

export function checkUpstreams(reader: RuleReader): void {
  for (const [pointer] of reader.members('/upstreams')) {
    checkTargets(reader, pointer)
    checkTls(reader, pointer)
  }
}

function checkTargets(reader: RuleReader, upstream: string): void {
  for (const [pointer, text] of reader.strings(`${upstream}/targets`)) {
    const result = parseTarget(text)
    if (result.ok) continue
    const { reason, nearest } = result
    reader.report({
      pointer,
      expected: TARGET_FORM,
      nearest,
      message: `The target ${reader.shown(pointer)} cannot be used: ${reason}.`,
    })
  }
}

function checkTls(reader: RuleReader, upstream: string): void {
  const pointer = `${upstream}/tls`
  if (!reader.has(pointer)) return
  const targets = reader.strings(`${upstream}/targets`)
  if (targets.length > 0 && !targets.some(([, text]) => /^https:/i.test(text))) {
    reader.report({
      pointer,
      expected: 'an https target',
      message: 'The upstream has "tls" but no target with https: change the URLs, or leave "tls" out.',
      atKey: true,
    })
  }
  const ca = reader.string(`${pointer}/ca`)
  if (ca?.includes('-----BEGIN CERTIFICATE-----') === true && !isCertificateText(ca)) {
    reader.report({ pointer: `${pointer}/ca`, expected: 'certificates as PEM text that OpenSSL can read' })
  }
}

function isCertificateText(ca: string): boolean {
  try {
    createSecureContext({ ca })
    return true
  } catch {
    return false
  }
}
