import { CARDEA_JSON_SCHEMA } from './schema.ts'
import { MANIFEST_JSON_SCHEMA, PLUGIN_SETTING_NAMES } from './schema-plugin.ts'
import type { JsonObject } from './types.ts'
import { compileLazily, type Validator } from './validator.ts'

/**
 * The schemas of cardea.yaml and plugin.json, with what checks by them. Whoever needs them imports `#own-schemas`: in the
 * built program that is what standalone.ts makes of them. To make and to compile them at each start takes a fifth of the
 * CPU of a supervisor's start and more (*measured*: 470 and 530 ms with that, 370 and 380 without).
 */

export interface OwnSchema {
  readonly schema: JsonObject
  readonly validator: Validator
}

export const cardea: OwnSchema = ownSchema(CARDEA_JSON_SCHEMA)
export const manifest: OwnSchema = ownSchema(MANIFEST_JSON_SCHEMA)

/** The keys of an entry under `plugins:`. */
export const pluginSettingNames: readonly string[] = PLUGIN_SETTING_NAMES

/** Whether it is a schema at all is what a test looks at. */
function ownSchema(schema: JsonObject): OwnSchema {
  return { schema, validator: compileLazily(schema) }
}
