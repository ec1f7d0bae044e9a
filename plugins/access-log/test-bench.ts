import assert from 'node:assert/strict'
import {
  pluginFolder,
  type TestGateway,
  type TestGatewayOptions,
  type TestRequestInit,
  testGateway,
} from '@cardea/sdk/testing'

/** For the tests of this folder only. */

export type Config = Readonly<Record<string, unknown>>

export function gatewayWith(config: Config, options: TestGatewayOptions = {}): Promise<TestGateway> {
  const plugins = [pluginFolder(import.meta.dirname, config), ...(options.plugins ?? [])]
  return testGateway({ ...options, plugins })
}

/** What is in the log once its lines are written. */
export async function linesOf(gateway: TestGateway, file = 'access.log'): Promise<readonly string[]> {
  await gateway.clock.advance(200)
  return gateway.sink(file)
}

/** The one line that a request leaves. */
export async function lineOf(
  config: Config,
  url: string,
  init: TestRequestInit = {},
  options: TestGatewayOptions = {},
) {
  await using gateway = await gatewayWith(config, options)
  const response = await gateway.fetch(url, init)
  await response.text()
  const lines = await linesOf(gateway)
  assert.equal(lines.length, 1, lines.join('\n'))
  return lines[0] ?? ''
}

export async function jsonOf(...given: Parameters<typeof lineOf>): Promise<Record<string, unknown>> {
  const [config, ...rest] = given
  return JSON.parse(await lineOf({ format: 'json', ...config }, ...rest))
}
