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
  requires: [ICloudModel, ILabNeeds],
  optional: [IFormRendererRegistry, ITranslator],
  activate: (
    _: JupyterFrontEnd,
    model: ICloudModel,
    needs: ILabNeeds,
    registry: IFormRendererRegistry | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const Form = React.lazy(async () => {
      const { NeedsForm } = await import('../views/needsform');
      return { default: NeedsForm };
    });
    registry?.addRenderer(RENDERER, {
      fieldRenderer: (props: unknown) =>
        React.createElement(
          React.Suspense,
          { fallback: null },
          React.createElement(Form, {
            field: props as IFieldProps,
            model,
            needs,
            trans
          })
        )
    });
  }
};
