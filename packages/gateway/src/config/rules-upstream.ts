import { X509Certificate } from 'node:crypto'
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
    // Most likely a password, and the log would keep it.
    const hidden = text.includes('@') && !reader.isExpanded(pointer)
    reader.report({
      pointer,
      expected: TARGET_FORM,
      nearest: hidden ? null : nearest,
      message: `The target ${hidden ? 'given' : reader.shown(pointer)} cannot be used: ${reason}.`,
      hidden,
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
    reader.report({
      pointer: `${pointer}/ca`,
      expected: 'certificates as PEM text, each one whole and valid',
    })
  }
}

/** TLS would quietly skip a block that it cannot read, and then trust nobody, or fewer than it was told. */
function isCertificateText(ca: string): boolean {
  const blocks = ca.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  if (blocks.length !== ca.split('-----BEGIN').length - 1) return false
  try {
    for (const block of blocks) new X509Certificate(block)
    return true
  } catch {
    return false
  }
}
