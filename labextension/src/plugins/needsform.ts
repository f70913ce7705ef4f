/**
 * What a lab needs, as a form in JupyterLab's property inspector (schema/plugin.json, `jupyter.lab.metadataforms`).
 */

import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { IFormRendererRegistry } from '@jupyterlab/ui-components';
import * as React from 'react';

import { DOMAIN, ICloudModel, ILabNeeds } from '../tokens';
import type { IFieldProps } from '../views/needsform';

/** `customRenderer` in the schema. */
const RENDERER = 'educloud-lab:plugin.needs';

export const needsFormPlugin: JupyterFrontEndPlugin<void> = {
  id: 'educloud-lab:needs-form',
  description: 'Edits what a lab needs in the property inspector.',
  autoStart: true,
  // Nothing else: JupyterLab looks for the renderer once, before our model is there.
  optional: [IFormRendererRegistry, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    registry: IFormRendererRegistry | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const Form = React.lazy(async () => {
      const [{ NeedsForm }, model, needs] = await Promise.all([
        import('../views/needsform'),
        app.resolveRequiredService(ICloudModel),
        app.resolveRequiredService(ILabNeeds)
      ]);
      return {
        default: (props: { field: IFieldProps }) =>
          React.createElement(NeedsForm, { ...props, model, needs, trans })
      };
    });
    registry?.addRenderer(RENDERER, {
      fieldRenderer: (props: unknown) =>
        React.createElement(
          React.Suspense,
          { fallback: null },
          React.createElement(Form, { field: props as IFieldProps })
        )
    });
  }
};
