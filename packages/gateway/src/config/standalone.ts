import standalone from 'ajv/dist/standalone/index.js'
import { createAjv } from './dialect.ts'
import { CARDEA_JSON_SCHEMA } from './schema.ts'
import { MANIFEST_JSON_SCHEMA, PLUGIN_SETTING_NAMES } from './schema-plugin.ts'
import type { JsonObject } from './types.ts'

/** Compiles the schemas of own-schemas.ts when the program is built. */

/** An ES module with the exports of own-schemas.ts. `folder` is the way from where it will stand to this folder. */
export function standaloneSchemas(folder: string): string {
  const schemas: Readonly<Record<string, JsonObject>> = {
    cardea: CARDEA_JSON_SCHEMA,
    manifest: MANIFEST_JSON_SCHEMA,
  }
  const names = Object.keys(schemas)
  const ajv = createAjv({ meta: false, validateSchema: false, code: { source: true, esm: true } })
  for (const name of names) ajv.addSchema(schemas[name] ?? {}, name)
  const file = (name: string): string => JSON.stringify(`${folder}/${name}`)
  return [
    `import { FORMATS, isWithin } from ${file('formats.ts')}`,
    `import { validatorOf } from ${file('validator.ts')}`,
    standalone.default(ajv, Object.fromEntries(names.map((name) => [`check_${name}`, name]))),
    ...names.map((name) => {
      const schema = `JSON.parse(${JSON.stringify(JSON.stringify(schemas[name]))})`
      return `export const ${name} = { schema: ${schema}, validator: validatorOf(check_${name}) }`
    }),
    `export const pluginSettingNames = ${JSON.stringify(PLUGIN_SETTING_NAMES)}`,
    '',
  ].join('\n')
}
